// A process that subscribes to a cache as the inspector's page does, and reports on request what it has received.
import { WebSocket } from 'ws';

const [port, token] = process.argv.slice(2);
const socket = new WebSocket(`ws://127.0.0.1:${port}/api/live`, ['context-cache-inspector', `token.${token}`]);
const feeds = ['overview', 'actors', 'updates'];
let seen = 0;

socket.on('open', () => {
  for (const feed of feeds) socket.send(JSON.stringify({ type: 'subscribe', id: feed, feed }));
});
socket.on('message', (data) => {
  const message = JSON.parse(data);
  if (message.type === 'hello') process.send('looking');
  if (message.type === 'updates') seen = message.position;
});
socket.on('error', (error) => {
  throw error;
});
process.on('message', () => process.send(seen));
process.on('disconnect', () => process.exit(0));

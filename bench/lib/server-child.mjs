// A process that serves a cache, or echoes frames, and tells where.
import { createServer } from 'node:net';
import { AgentContextCache, startServer } from './ours.mjs';
import { ANSWER_BYTES, framesOf, gathered, REQUEST_BYTES } from './served.mjs';

const [, , kind] = process.argv;
if (kind === 'cache') {
  const { url, port, token } = await startServer(new AgentContextCache({ natsUrl: null }));
  process.send({ url, port, token });
} else {
  const answer = Buffer.alloc(ANSWER_BYTES);
  const server = createServer({ noDelay: true }, (socket) => {
    const send = gathered((bytes) => socket.write(bytes));
    socket.on(
      'data',
      framesOf(REQUEST_BYTES, () => send(answer)),
    );
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
}

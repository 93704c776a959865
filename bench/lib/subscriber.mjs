// A process that subscribes, and reports when the expected number of messages has arrived, then their contents.
import { connect } from '@nats-io/transport-node';

const [url, topic, expected] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const connection = await connect({ servers: url });
const came = [];
connection.subscribe(topic, {
  callback(_, message) {
    came.push(message.data);
    if (came.length === expected) {
      process.send('all');
      report();
    }
  },
});
await connection.flush();
process.send('ready');

function report() {
  const texts = came.map((data) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString());
  const keys = new Set(texts.map((text) => /"key":"([^"]+)"/.exec(text)?.[1]));
  const bytes = texts.reduce((sum, text) => sum + text.length, 0);
  process.send({ keys: keys.size, bytes, last: texts.at(-1) });
}

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/**
 * Starts a subscriber in a process of its own. `all` resolves when the expected number of messages has arrived, `report` a
 * little later with their contents.
 */
export async function subscribeElsewhere(url, topic, expected) {
  const child = fork(join(import.meta.dirname, 'subscriber.mjs'), [url, topic, String(expected)], { execArgv: [] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  await once(child, 'message');
  const all = once(child, 'message');
  const report = all.then(() => once(child, 'message')).then(([told]) => told);
  return { all, report, close: kill };
}

import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../../core/clock.ts';
import { toError } from '../../../core/errors.ts';
import { nodeFiles } from '../files.ts';
import { isDamage } from './index-errors.ts';
import { openLevel } from './leveldb/level-storage.ts';
import { LocalHost } from './local-host.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-messages.ts';

/** The thread that writes the index. Started by {@link WorkerHost}. */

const port = parentPort;
if (port === null) throw new Error('This module runs in a worker thread.');
const post = (message: FromWorker) => port.postMessage(message);

/** Settles the batch that the main thread is taking. */
let taking: { resolve(): void; reject(error: Error): void } | undefined;

const host = new LocalHost({
  ...(workerData as WorkerSettings),
  ...{ files: nodeFiles, openStorage: openLevel, clock: systemClock },
  take: (change) => {
    post({ type: 'written', change });
    return new Promise((resolve, reject) => {
      taking = { resolve, reject };
    });
  },
});
post({ type: 'started' });
const opened = host.open();
opened.catch(() => undefined);

port.on('message', (message: ToWorker) => {
  if (message.type === 'taken') {
    if (message.refusal === undefined) taking?.resolve();
    else taking?.reject(new Error(message.refusal));
  } else if (message.type === 'close') void close();
  else void run(message);
});

async function run({ id, task, names }: Extract<ToWorker, { type: 'run' }>): Promise<void> {
  try {
    await opened;
    await host.run(task, names);
    post({ type: 'done', id });
  } catch (error) {
    const { message, stack } = toError(error);
    post({ type: 'failed', id, error: Object.assign(new Error(message), { stack }), isDamage: isDamage(error) });
  }
}

async function close(): Promise<void> {
  taking?.reject(new Error('The index is being closed.'));
  await opened.catch(() => undefined);
  await host.close();
  post({ type: 'closed' });
}

// The process of one measurement of one candidate; sends its result to the bench over the channel.
import { pathToFileURL } from 'node:url';

const { file, step, context } = JSON.parse(process.argv[2]);
const { default: question } = await import(pathToFileURL(file).href);

// Ends the servers and processes that the question has started.
process.on('SIGTERM', () => process.exit(1));
process.on('disconnect', () => process.exit(1));

let message;
try {
  message = { result: (await question[step](context)) ?? null };
} catch (error) {
  message = { error: error?.stack ?? String(error) };
}
// A candidate's timers and connections must not keep the process running.
process.send(message, () => process.exit(0));

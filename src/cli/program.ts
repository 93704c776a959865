import { createRequire } from 'node:module';
import { Command, Option } from 'commander';
import { addApply } from './commands/apply.ts';
import { addBackup } from './commands/backup.ts';
import { addCompact } from './commands/compact.ts';
import { addDemo } from './commands/demo.ts';
import { addPast } from './commands/past.ts';
import { addRead } from './commands/read.ts';
import { addReplay } from './commands/replay.ts';
import { addRestore } from './commands/restore.ts';
import { addServe } from './commands/serve.ts';
import { addTopics } from './commands/topics.ts';
import { addValues } from './commands/values.ts';
import { addVerify } from './commands/verify.ts';
import { addWatch } from './commands/watch.ts';
import { example, type Session } from './context.ts';

/** The whole command line. */
export function createProgram(session: Session): Command {
  const program = new Command('context-cache')
    .description('Shared, replayable memory for AI agents, from the command line.')
    .version(versionOfPackage())
    .option('--json', 'output, warnings and errors for programs')
    .addOption(new Option('--data-dir <dir>', 'the data directory').env('CONTEXT_CACHE_DIR').default('.context-cache'))
    // These three are inherited by the commands that are added below. Errors are told in one place, see main.ts.
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} })
    .exitOverride();
  example(program, 'serve        and, in another terminal:  context-cache set plan \'["search"]\'');
  addServe(program, session);
  addApply(program, session);
  addValues(program, session);
  addRead(program, session);
  addPast(program, session);
  addCompact(program, session);
  addWatch(program, session);
  addTopics(program, session);
  addBackup(program, session);
  addRestore(program, session);
  addReplay(program, session);
  addVerify(program, session);
  addDemo(program, session);
  return program;
}

function versionOfPackage(): string {
  const { version } = createRequire(import.meta.url)('agent-context-cache/package.json') as { version: string };
  return version;
}

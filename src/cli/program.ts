import { Command, Option } from 'commander';
import { addApply } from './commands/apply.ts';
import { addBackup } from './commands/backup.ts';
import { addBench } from './commands/bench.ts';
import { addBriefing } from './commands/briefing.ts';
import { addCheckSchemas } from './commands/check-schemas.ts';
import { addClear } from './commands/clear.ts';
import { addCluster } from './commands/cluster.ts';
import { addCompact } from './commands/compact.ts';
import { addCompletion, ignoresSettings } from './commands/completion.ts';
import { addConfig } from './commands/config.ts';
import { addDemo } from './commands/demo.ts';
import { addDoctor } from './commands/doctor.ts';
import { addForget } from './commands/forget.ts';
import { addGrants } from './commands/grants.ts';
import { addInspect } from './commands/inspect.ts';
import { addMcp } from './commands/mcp.ts';
import { addPast } from './commands/past.ts';
import { addRead } from './commands/read.ts';
import { addReplay } from './commands/replay.ts';
import { addRestore } from './commands/restore.ts';
import { addRetract } from './commands/retract.ts';
import { addServe } from './commands/serve.ts';
import { addToken } from './commands/token.ts';
import { addTopics } from './commands/topics.ts';
import { addTrace } from './commands/trace.ts';
import { addValues } from './commands/values.ts';
import { addVerify } from './commands/verify.ts';
import { addWatch } from './commands/watch.ts';
import { CliOption } from './config/cli-option.ts';
import { applySettings } from './config/settings.ts';
import { example, type Session } from './context.ts';
import { packageVersion } from './package-file.ts';
import { useSubjectKeys } from './target.ts';

interface ProgramFlags {
  readonly json?: boolean;
  readonly color: boolean;
  readonly subjectKeys?: string;
}

/** Creates the command line with all its commands. */
export function createProgram(session: Session): Command {
  const program = new Command('context-cache')
    .description('Shared, replayable memory for AI agents, from the command line.')
    .version(packageVersion)
    .option('--json', 'print output, warnings and errors as JSON')
    .addOption(new Option('--data-dir <dir>', 'data directory').env('CONTEXT_CACHE_DIR').default('.context-cache'))
    .addOption(
      new Option(
        '--subject-keys <file>',
        'file of the keys of subjects, outside of the data directory; created if it is missing',
      ).env('CONTEXT_CACHE_SUBJECT_KEYS'),
    )
    .addOption(
      onCommandLineOnly(
        '--config <file>',
        'configuration file (default: context-cache.config.js or .json in the working directory)',
      ),
    )
    .addOption(onCommandLineOnly('--no-color', 'print without colors, as with NO_COLOR'))
    // The next three calls are inherited by the commands added below. `run.ts` alone prints errors.
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} })
    .exitOverride()
    .hook('preAction', async (_, command) => {
      if (ignoresSettings(command)) return;
      await applySettings(program, command);
      const { json = false, color, subjectKeys } = program.opts<ProgramFlags>();
      if (subjectKeys !== undefined) useSubjectKeys(session.output, subjectKeys);
      session.output.configure(json, color ? undefined : false);
    });
  example(program, 'set plan \'["search"]\' --namespace trip', 'get plan --namespace trip', 'serve');
  addServe(program, session);
  addApply(program, session);
  addValues(program, session);
  addClear(program, session);
  addForget(program, session);
  addRead(program, session);
  addPast(program, session);
  addTrace(program, session);
  addRetract(program, session);
  addCompact(program, session);
  addWatch(program, session);
  addBriefing(program, session);
  addMcp(program, session);
  addInspect(program, session);
  addToken(program, session);
  addGrants(program, session);
  addTopics(program, session);
  addBackup(program, session);
  addRestore(program, session);
  addReplay(program, session);
  addVerify(program, session);
  addCheckSchemas(program, session);
  addCluster(program, session);
  addDemo(program, session);
  addConfig(program, session);
  addDoctor(program, session);
  addBench(program, session);
  addCompletion(program, session);
  return program;
}

function onCommandLineOnly(flags: string, description: string): CliOption {
  const option = new CliOption(flags, description);
  option.inFile = 'never';
  return option;
}

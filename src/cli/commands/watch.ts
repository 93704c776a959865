import type { Command } from 'commander';
import { ContextCacheError } from '../../index.ts';
import { watchLines } from '../../serve/json-lines.ts';
import { collect } from '../config/cli-option.ts';
import { integer, onlyNamespacesOption } from '../config/options.ts';
import { does, example, type Session } from '../context.ts';
import { connectServed, mustExist } from '../target.ts';
import { interruption } from '../terminal/signals.ts';

interface WatchFlags {
  readonly namespace?: string[];
  readonly key?: string[];
  readonly namespacePrefix?: string;
  readonly keyPrefix?: string;
  readonly since?: number;
  readonly snapshot?: boolean;
}

/** `watch`: prints updates as they happen. */
export function addWatch(program: Command, session: Session): void {
  const watch = program
    .command('watch')
    .description('print updates of a served directory as they happen, one JSON object per line, until Ctrl-C')
    .addOption(onlyNamespacesOption())
    .option('-k, --key <key>', 'only this key (may be repeated)', collect)
    .option('--namespace-prefix <text>', 'only namespaces that start with this text')
    .option('--key-prefix <text>', 'only keys that start with this text')
    .option('--since <position>', 'start with the updates after this position', integer)
    .option('--snapshot', 'start with the present entries, marked "snapshot": true');
  example(
    watch,
    'watch',
    'watch --namespace trip --snapshot',
    'watch -k plan --since 2',
    'watch --namespace-prefix store/user/',
  );
  does<WatchFlags>(session, watch, async ({ output, dataDir, options }) => {
    const { namespace: namespaces = [], key: keys = [], namespacePrefix, keyPrefix, since, snapshot = false } = options;
    const ended = new AbortController();
    const client = await connectServed(dataDir, () => ended.abort());
    if (client === undefined) {
      await mustExist(dataDir);
      const remedy = 'Start "context-cache serve" with the same --data-dir, then watch.';
      throw new ContextCacheError(
        'UNREACHABLE',
        `No process serves ${dataDir}, so there are no updates to watch. ${remedy}`,
      );
    }
    using interrupted = interruption();
    try {
      const updates = client.watch({
        namespace: namespaces.length === 0 ? undefined : namespaces,
        keys: keys.length === 0 ? undefined : keys,
        ...{ namespacePrefix, keyPrefix },
        ...{ since, include: snapshot ? 'snapshot' : 'updates' },
        signal: AbortSignal.any([interrupted.signal, ended.signal]),
      });
      await output.writeAll(watchLines(updates));
    } finally {
      await client.shutdown();
    }
    if (!interrupted.signal.aborted) output.message('The process that served the directory has ended.');
  });
}

import { Argument, type Command } from 'commander';
import { wantedAt } from '../completion/candidates.ts';
import { namespacesAtTab } from '../completion/namespaces.ts';
import { SCRIPTS, type Shell } from '../completion/scripts.ts';
import { does, example, type Session } from '../context.ts';

/** `completion` prints a shell's script; the script calls `complete`. */
export function addCompletion(program: Command, session: Session): void {
  const completion = program
    .command('completion')
    .description('print the script that completes commands, options and names in a shell')
    .addArgument(new Argument('<shell>', 'shell').choices(Object.keys(SCRIPTS)));
  example(
    completion,
    'completion bash >> ~/.bashrc',
    'completion zsh >> ~/.zshrc',
    'completion fish > ~/.config/fish/completions/context-cache.fish',
  );
  does(session, completion, async ({ output, args: [shell] }) => {
    await output.write(SCRIPTS[shell as Shell]);
    return undefined;
  });
  const complete = program
    .command('complete', { hidden: true })
    .description('print the completions of the last word')
    .argument('[words...]');
  does(session, complete, async ({ output, args: [words] }) => {
    for (const line of await completions(program, (words ?? ['']) as unknown as string[]))
      await output.write(`${line}\n`);
    return undefined;
  });
}

/** Returns whether a command ignores the configuration file, so that a mistake in one cannot break completion. */
export function ignoresSettings(command: Command): boolean {
  return command.name() === 'completion' || command.name() === 'complete';
}

/** Returns the completions in the format of the shell scripts. */
async function completions(program: Command, words: readonly string[]): Promise<string[]> {
  const { candidates, kind, prefix, typed } = wantedAt(program, words);
  const names = kind === 'namespaces' ? await namespacesAtTab(program, words) : [];
  // The format has no way to write a name with a line break or a tab.
  const all = [
    ...candidates,
    ...names.filter((name) => !/\p{Cc}/u.test(name)).map((value) => ({ value, description: '' })),
  ];
  const lines = all
    .filter(({ value }) => value.startsWith(typed))
    .map(({ value, description }) => `${prefix}${value}\t${description.split('\n')[0]}`);
  return kind === 'files' || kind === 'dirs' ? [...lines, `\t${kind}`] : lines;
}

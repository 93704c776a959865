import { Argument, type Command } from 'commander';
import { wantedAt } from '../completion/candidates.ts';
import { namespacesAtTab } from '../completion/namespaces.ts';
import { SCRIPTS, type Shell } from '../completion/scripts.ts';
import { does, example, type Session } from '../context.ts';

/** `completion`, and `complete`, which the shells ask. */
export function addCompletion(program: Command, session: Session): void {
  const completion = program
    .command('completion')
    .description('print what teaches a shell to complete commands, options and names at Tab')
    .addArgument(new Argument('<shell>', 'which one').choices(Object.keys(SCRIPTS)));
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
    .description('print what may stand at the end of these words')
    .argument('[words...]');
  does(session, complete, async ({ output, args: [words] }) => {
    for (const line of await completions(program, (words ?? ['']) as unknown as string[]))
      await output.write(`${line}\n`);
    return undefined;
  });
}

/** Commands that no configuration file, and nothing wrong in one, is to change. */
export function ignoresSettings(command: Command): boolean {
  return command.name() === 'completion' || command.name() === 'complete';
}

/** As the scripts of the shells read them. */
async function completions(program: Command, words: readonly string[]): Promise<string[]> {
  const { candidates, place, prefix, typed } = wantedAt(program, words);
  const names = place === 'namespaces' ? await namespacesAtTab(program, words) : [];
  // A name with a line break or a tab would come out as another one.
  const all = [...candidates, ...names.filter((name) => !/\p{Cc}/u.test(name)).map((value) => ({ value, means: '' }))];
  const lines = all
    .filter(({ value }) => value.startsWith(typed))
    .map(({ value, means }) => `${prefix}${value}\t${means.split('\n')[0]}`);
  return place === 'files' || place === 'dirs' ? [...lines, `\t${place}`] : lines;
}

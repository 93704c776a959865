import type { Argument, Command, Option } from 'commander';
import { kindOf, placeholderOf } from '../config/cli-option.ts';

/** What may stand where the cursor is. */
export interface Candidate {
  readonly value: string;
  readonly means: string;
}

/** What is asked for at the cursor. */
export interface Wanted {
  readonly candidates: readonly Candidate[];
  /** What else: names that the caller knows or the shell does. */
  readonly place?: 'files' | 'dirs' | 'namespaces' | undefined;
  /** Each candidate stands behind it in the word: `--mode=`. */
  readonly prefix: string;
  /** What has been typed of the word behind the prefix. */
  readonly typed: string;
}

/** Looks in the tree of commands what may come next; the last word is the one that is being typed. */
export function wantedAt(program: Command, typed: readonly string[]): Wanted {
  const words = gluedWords(typed);
  const current = words.at(-1) ?? '';
  const { command, positionals, expecting, onlyArguments } = walk(program, words.slice(0, -1));
  if (expecting !== undefined) return { ...ofOption(expecting), prefix: '', typed: current };
  const assigned = onlyArguments ? null : /^(--[\w-]+)=(.*)$/s.exec(current);
  if (assigned !== null) {
    const option = optionOf(command, assigned[1] ?? '');
    const wanted = option === undefined ? { candidates: [] } : ofOption(option);
    // Bash breaks a word at "="; it wants only what comes behind it.
    const prefix = typed.at(-1) === current ? `${assigned[1]}=` : '';
    return { ...wanted, prefix, typed: assigned[2] ?? '' };
  }
  if (current.startsWith('-') && !onlyArguments) {
    return { candidates: optionsOf(command, words), prefix: '', typed: current };
  }
  return { ...ofArgument(command, positionals), prefix: '', typed: current };
}

/** `--mode`, `=`, `periodic` of Bash as one word. */
function gluedWords(words: readonly string[]): string[] {
  const glued: string[] = [];
  for (const [index, word] of words.entries()) {
    const last = glued.at(-1);
    const isBehind = words[index - 1] === '=' && last?.endsWith('=') === true;
    if (last?.startsWith('--') === true && (word === '=' || isBehind)) glued[glued.length - 1] = last + word;
    else glued.push(word);
  }
  return glued;
}

interface Walked {
  readonly command: Command;
  /** How many arguments of the command there are already. */
  readonly positionals: number;
  /** The option whose value comes next. */
  readonly expecting: Option | undefined;
  /** `--` has been. */
  readonly onlyArguments: boolean;
}

function walk(program: Command, words: readonly string[]): Walked {
  let command = program;
  let positionals = 0;
  let expecting: Option | undefined;
  let onlyArguments = false;
  for (const word of words) {
    if (expecting !== undefined) expecting = undefined;
    else if (word === '--') onlyArguments = true;
    else if (word.startsWith('-') && !onlyArguments) {
      const option = optionOf(command, word);
      if (option?.required === true) expecting = option;
    } else {
      const next = positionals > 0 ? undefined : command.commands.find((each) => each.name() === word);
      if (next === undefined) positionals += 1;
      else command = next;
    }
  }
  return { command, positionals, expecting, onlyArguments };
}

function optionOf(command: Command, flag: string): Option | undefined {
  const own = command.options.find(({ long, short }) => long === flag || short === flag);
  return own ?? (command.parent === null ? undefined : optionOf(command.parent, flag));
}

function optionsOf(command: Command, words: readonly string[]): Candidate[] {
  const help = command.createHelp();
  const all: Option[] = [];
  for (let current: Command | null = command; current !== null; current = current.parent) {
    all.push(...help.visibleOptions(current));
  }
  const free = all.filter((option) => kindOf(option) === 'list' || !words.includes(option.long ?? ''));
  const candidates = free.map(({ long, short, description }) => ({ value: long ?? short ?? '', means: description }));
  return candidates.filter(({ value }, index) => candidates.findIndex((other) => other.value === value) === index);
}

type Values = Pick<Wanted, 'candidates' | 'place'>;

function ofOption(option: Option): Values {
  const placeholder = placeholderOf(option);
  const isNamespace = option.attributeName() === 'namespace';
  return { candidates: choices(option), place: isNamespace ? 'namespaces' : placeOf(placeholder) };
}

function ofArgument(command: Command, positionals: number): Values {
  const commands = positionals > 0 ? [] : command.createHelp().visibleCommands(command);
  const subcommands = commands.map((each) => ({ value: each.name(), means: each.summary() || each.description() }));
  const declared = command.registeredArguments;
  const last = declared.at(-1);
  const argument = declared[positionals] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return { candidates: subcommands };
  return { candidates: [...subcommands, ...choices(argument)], place: placeOf(argument.name()) };
}

function choices({ argChoices = [] }: Option | Argument): Candidate[] {
  return argChoices.map((value) => ({ value, means: '' }));
}

function placeOf(placeholder: string | undefined): Wanted['place'] {
  if (placeholder === 'dir') return 'dirs';
  if (placeholder === 'namespace') return 'namespaces';
  return ['file', 'source', 'place'].includes(placeholder ?? '') ? 'files' : undefined;
}

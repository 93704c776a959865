import type { Argument, Command, Option } from 'commander';
import { kindOf, placeholderOf } from '../config/cli-option.ts';

/** A word that may stand at the cursor. */
export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** The completions at the cursor. */
export interface Wanted {
  readonly candidates: readonly Candidate[];
  /** Further names, known to the caller (namespaces) or to the shell (files, directories). */
  readonly kind?: 'files' | 'dirs' | 'namespaces' | undefined;
  /** Part of the word before each candidate: `--mode=`. */
  readonly prefix: string;
  /** Typed part of the word after the prefix. */
  readonly typed: string;
}

/** Finds the completions of the last word in the tree of commands. */
export function wantedAt(program: Command, typed: readonly string[]): Wanted {
  const words = gluedWords(typed);
  const current = words.at(-1) ?? '';
  const { command, positionals, expecting, onlyArguments } = walk(program, words.slice(0, -1));
  if (expecting !== undefined) return { ...ofOption(expecting), prefix: '', typed: current };
  const assigned = onlyArguments ? null : /^(--[\w-]+)=(.*)$/s.exec(current);
  if (assigned !== null) {
    const option = optionOf(command, assigned[1] ?? '');
    const wanted = option === undefined ? { candidates: [] } : ofOption(option);
    // Bash splits a word at "=" and completes only the part after it.
    const prefix = typed.at(-1) === current ? `${assigned[1]}=` : '';
    return { ...wanted, prefix, typed: assigned[2] ?? '' };
  }
  if (current.startsWith('-') && !onlyArguments) {
    return { candidates: optionsOf(command, words), prefix: '', typed: current };
  }
  return { ...ofArgument(command, positionals), prefix: '', typed: current };
}

/** Joins Bash's `--mode`, `=`, `periodic` into one word. */
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
  /** Number of arguments before the cursor. */
  readonly positionals: number;
  /** Option whose value is at the cursor. */
  readonly expecting: Option | undefined;
  /** Set after `--`. */
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
  const candidates = free.map(({ long, short, description }) => ({ value: long ?? short ?? '', description }));
  return candidates.filter(({ value }, index) => candidates.findIndex((other) => other.value === value) === index);
}

type Values = Pick<Wanted, 'candidates' | 'kind'>;

function ofOption(option: Option): Values {
  const placeholder = placeholderOf(option);
  const isNamespace = option.attributeName() === 'namespace';
  return { candidates: choices(option), kind: isNamespace ? 'namespaces' : completedAs(placeholder) };
}

function ofArgument(command: Command, positionals: number): Values {
  const commands = positionals > 0 ? [] : command.createHelp().visibleCommands(command);
  const subcommands = commands.map((each) => ({
    value: each.name(),
    description: each.summary() || each.description(),
  }));
  const declared = command.registeredArguments;
  const last = declared.at(-1);
  const argument = declared[positionals] ?? (last?.variadic === true ? last : undefined);
  if (argument === undefined) return { candidates: subcommands };
  return { candidates: [...subcommands, ...choices(argument)], kind: completedAs(argument.name()) };
}

function choices({ argChoices = [] }: Option | Argument): Candidate[] {
  return argChoices.map((value) => ({ value, description: '' }));
}

function completedAs(placeholder: string | undefined): Wanted['kind'] {
  if (placeholder === 'dir') return 'dirs';
  if (placeholder === 'namespace') return 'namespaces';
  return ['file', 'source', 'store'].includes(placeholder ?? '') ? 'files' : undefined;
}

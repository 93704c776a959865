import { access, readFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command, Option } from 'commander';
import { nearest } from '../../core/nearest.ts';
import { UsageError } from '../terminal/failure.ts';
import { inFile, kindOf, placeholderOf } from './cli-option.ts';

/** Files that are looked for in the working directory. */
const NAMES = ['context-cache.config.js', 'context-cache.config.json'] as const;

/** What a file says of an option. */
export interface FileEntry {
  readonly value: unknown;
  /** `context-cache.config.json: serve.port`. */
  readonly place: string;
}

type Section = Readonly<Record<string, unknown>>;

/**
 * A configuration file: the options by name, as in code (`dataDir`), for every command that has them; and sections by
 * command (`serve: { port: 4100 }`), which come first.
 */
export class ConfigFile {
  readonly path: string;
  readonly #content: Section;
  readonly #folder: string;
  readonly #shown: string;

  private constructor(path: string, content: Section) {
    this.path = path;
    this.#content = content;
    this.#folder = dirname(path);
    this.#shown = relative(process.cwd(), path) || path;
  }

  /**
   * The file that is named, or else the one in the working directory; `undefined` where there is none.
   *
   * @param runs whether a file of JavaScript may be run.
   * @throws {UsageError} naming the file, and the property where one is wrong.
   */
  static async find(program: Command, named?: string, runs = true): Promise<ConfigFile | undefined> {
    const path = named === undefined ? await foundHere() : resolve(named);
    if (path === undefined || (!runs && !path.endsWith('.json'))) return undefined;
    const file = new ConfigFile(path, await contentOf(path));
    file.#check(program);
    return file;
  }

  /** What it says of an option of a command; the value as the option's own parser gives it. */
  entryOf(command: Command, option: Option): FileEntry | undefined {
    const section = sectionOf(command);
    const inSection = section === undefined ? undefined : (this.#content[section] as Section | undefined);
    const name = option.attributeName();
    const where = inFile(option);
    if (where === 'never') return undefined;
    if (inSection?.[name] !== undefined) return this.#entry(option, inSection[name], `${section}.${name}`);
    const isSection = command.parent !== null && rootOf(command).commands.some((other) => other.name() === name);
    if (where === 'section' || isSection || this.#content[name] === undefined) return undefined;
    return this.#entry(option, this.#content[name], name);
  }

  #entry(option: Option, raw: unknown, property: string): FileEntry {
    const place = `${this.#shown}: ${property}`;
    return { value: parse(option, raw, place, this.#folder), place };
  }

  /** All of it, so that a mistake is told at once and not when its command comes. */
  #check(program: Command): void {
    const all = [program, ...program.commands.flatMap(withSubcommands)].filter((command) => isListed(command));
    for (const [name, raw] of Object.entries(this.#content)) {
      const section = program.commands.find((command) => command.name() === name);
      if (section !== undefined) this.#checkSection(section, raw);
      else this.#checkShared(name, raw, all);
    }
  }

  #checkSection(command: Command, raw: unknown): void {
    const name = command.name();
    const place = `${this.#shown}: ${name}`;
    if (!isSection(raw)) throw new UsageError(`${place} is a command; it takes its options: { "${name}": { … } }.`);
    const options = withSubcommands(command).flatMap(({ options }) => options);
    for (const [property, value] of Object.entries(raw)) {
      const meant = options.filter((option) => option.attributeName() === property && inFile(option) !== 'never');
      if (meant.length === 0) this.#refuse(`${name}.${property}`, property, namesOf(options), options);
      for (const option of meant) parse(option, value, `${place}.${property}`, this.#folder);
    }
  }

  #checkShared(name: string, raw: unknown, all: readonly Command[]): void {
    const options = all.flatMap((command) => command.options);
    const meant = options.filter((option) => option.attributeName() === name && inFile(option) === 'anywhere');
    if (meant.length === 0) {
      const sections = all.flatMap((command) => sectionOf(command) ?? []);
      this.#refuse(name, name, [...namesOf(options), ...sections], options);
    }
    if (!meant.every((option) => meansTheSame(option, meant[0] ?? option)))
      throw new UsageError(this.#ambiguous(name, all));
    for (const option of meant) parse(option, raw, `${this.#shown}: ${name}`, this.#folder);
  }

  #refuse(property: string, name: string, known: readonly string[], options: readonly Option[]): never {
    const place = `${this.#shown}: ${property}`;
    if (options.some((option) => option.attributeName() === name && inFile(option) === 'never')) {
      throw new UsageError(`${place} can not be said in a file; give it on the command line each time.`);
    }
    const meant = nearest(name, known);
    const remedy = meant === undefined ? 'See "context-cache config" for all names.' : `Did you mean ${meant}?`;
    throw new UsageError(`${place} is no option. ${remedy}`);
  }

  #ambiguous(name: string, all: readonly Command[]): string {
    const sections = all.filter(({ options }) => options.some((option) => option.attributeName() === name));
    const names = [...new Set(sections.flatMap((command) => sectionOf(command) ?? []))];
    const example = `{ "${names[0]}": { "${name}": … } }`;
    return `${this.#shown}: ${name} means different things to ${names.join(' and ')}. Say whose it is: ${example}.`;
  }
}

async function foundHere(): Promise<string | undefined> {
  const found: string[] = [];
  for (const name of NAMES) {
    const path = resolve(name);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      found.push(path);
  }
  if (found.length > 1) throw new UsageError(`There are ${NAMES.join(' and ')} here. Keep one of them.`);
  return found[0];
}

async function contentOf(path: string): Promise<Section> {
  const content = /\.[cm]?js$/.test(path) ? await imported(path) : parseJson(path, await textOf(path));
  if (isSection(content)) return content;
  const remedy = path.endsWith('.json') ? '{ "dataDir": "./memory" }' : "export default { dataDir: './memory' }";
  throw new UsageError(`${path} does not hold an object of options. Write it as: ${remedy}.`);
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause) => {
    throw new UsageError(`The configuration file ${path} cannot be read (${cause.code}). Name another with --config.`);
  });
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Its message quotes the file, which may hold passwords.
    const at = /position (\d+)/.exec((error as Error).message)?.[1];
    const before = at === undefined ? undefined : text.slice(0, Number(at)).split('\n');
    const where = before === undefined ? '' : ` (line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1})`;
    throw new UsageError(`${path} is not JSON${where}. Mend it there.`);
  }
}

async function imported(path: string): Promise<unknown> {
  await textOf(path);
  try {
    return ((await import(pathToFileURL(path).href)) as { default?: unknown }).default;
  } catch (cause) {
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    throw new UsageError(`${path} cannot be loaded: ${reason}`, { cause });
  }
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value as the command line would give it. */
function parse(option: Option, raw: unknown, place: string, folder: string): unknown {
  const kind = kindOf(option);
  if (kind === 'flag' || (kind === 'server' && typeof raw === 'boolean')) {
    if (typeof raw === 'boolean') return raw;
    throw new UsageError(`${place} is true or false.`);
  }
  if (kind === 'list') {
    const texts = Array.isArray(raw) ? raw : [raw];
    if (texts.every((text) => typeof text === 'string')) return texts;
    throw new UsageError(`${place} is a text, or an array of texts.`);
  }
  if (typeof raw !== 'string' && typeof raw !== 'number') throw new UsageError(`${place} is a text or a number.`);
  if (placeholderOf(option) === 'dir') return resolve(folder, String(raw));
  return parseText(option, String(raw), place);
}

/**
 * A text as the option's own parser takes it.
 *
 * @throws {UsageError} that begins with where the text comes from.
 */
export function parseText(option: Option, text: string, place: string): unknown {
  if (kindOf(option) === 'list') return [text];
  try {
    return option.parseArg === undefined ? text : option.parseArg(text, undefined);
  } catch (error) {
    throw new UsageError(`${place} is not valid. ${(error as Error).message}`, { cause: error });
  }
}

/** Whether the same text means the same to both. */
function meansTheSame(a: Option, b: Option): boolean {
  if (kindOf(a) !== kindOf(b)) return false;
  return a.argChoices === undefined ? a.parseArg === b.parseArg : a.argChoices.join() === b.argChoices?.join();
}

function namesOf(options: readonly Option[]): string[] {
  return options.filter((option) => inFile(option) !== 'never').map((option) => option.attributeName());
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}

/** The name of the section for a command: that of the command below the program. */
export function sectionOf(command: Command): string | undefined {
  if (command.parent === null) return undefined;
  return command.parent.parent === null ? command.name() : sectionOf(command.parent);
}

/** A command and those below it. */
export function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** Whether the help shows it. */
export function isListed(command: Command): boolean {
  return !(command as unknown as { _hidden: boolean })._hidden;
}

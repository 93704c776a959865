import { access, readFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command, Option } from 'commander';
import { nearest } from '../../core/nearest.ts';
import { UsageError } from '../terminal/failure.ts';
import { inFile, kindOf, placeholderOf } from './cli-option.ts';

/** Names of configuration files in the working directory. */
const NAMES = ['context-cache.config.js', 'context-cache.config.json'] as const;

/** Value of an option in a file. */
export interface FileEntry {
  readonly value: unknown;
  /** File and property: `context-cache.config.json: serve.port`. */
  readonly origin: string;
}

type Section = Readonly<Record<string, unknown>>;

/**
 * A configuration file: options by name, as in code (`dataDir`), for every command that has them; and sections for one
 * command (`serve: { port: 4100 }`), which take precedence.
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
   * Reads the named file, or else the one in the working directory. Returns `undefined` if that file is missing.
   *
   * @param runs whether a JavaScript file may be run.
   * @throws {UsageError} naming the file and the wrong property.
   */
  static async find(program: Command, named?: string, runs = true): Promise<ConfigFile | undefined> {
    const path = named === undefined ? await foundHere() : resolve(named);
    if (path === undefined || (!runs && !path.endsWith('.json'))) return undefined;
    const file = new ConfigFile(path, await contentOf(path));
    file.#check(program);
    return file;
  }

  /** Returns the value of a command's option, parsed as the option parses it; `undefined` if the file has none. */
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
    const origin = `${this.#shown}: ${property}`;
    return { value: parse(option, raw, origin, this.#folder), origin };
  }

  /** Checks the whole file, so that a mistake is reported at once and not when its command is used. */
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
    const origin = `${this.#shown}: ${name}`;
    if (!isSection(raw)) throw new UsageError(`${origin} is a command; give its options: { "${name}": { … } }.`);
    const options = withSubcommands(command).flatMap(({ options }) => options);
    for (const [property, value] of Object.entries(raw)) {
      const meant = options.filter((option) => option.attributeName() === property && inFile(option) !== 'never');
      if (meant.length === 0) this.#refuse(`${name}.${property}`, property, namesOf(options), options);
      for (const option of meant) parse(option, value, `${origin}.${property}`, this.#folder);
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
    const origin = `${this.#shown}: ${property}`;
    if (options.some((option) => option.attributeName() === name && inFile(option) === 'never')) {
      throw new UsageError(`${origin} cannot be set in a file; give it on the command line each time.`);
    }
    const meant = nearest(name, known);
    const remedy = meant === undefined ? 'See "context-cache config" for all names.' : `Did you mean ${meant}?`;
    throw new UsageError(`${origin} is no option. ${remedy}`);
  }

  #ambiguous(name: string, all: readonly Command[]): string {
    const sections = all.filter(({ options }) => options.some((option) => option.attributeName() === name));
    const names = [...new Set(sections.flatMap((command) => sectionOf(command) ?? []))];
    const example = `{ "${names[0]}": { "${name}": … } }`;
    return `${this.#shown}: ${name} means different things to ${names.join(' and ')}. Put it into a section: ${example}.`;
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
  if (found.length > 1) throw new UsageError(`The working directory has ${NAMES.join(' and ')}. Keep one of them.`);
  return found[0];
}

async function contentOf(path: string): Promise<Section> {
  const content = /\.[cm]?js$/.test(path) ? await imported(path) : parseJson(path, await textOf(path));
  if (isSection(content)) return content;
  const remedy = path.endsWith('.json') ? '{ "dataDir": "./memory" }' : "export default { dataDir: './memory' }";
  throw new UsageError(`${path} does not contain an object of options. Write it as: ${remedy}.`);
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
    // The parser's message quotes the file, which may contain passwords.
    const at = /position (\d+)/.exec((error as Error).message)?.[1];
    const before = at === undefined ? undefined : text.slice(0, Number(at)).split('\n');
    const location = before === undefined ? '' : ` (line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1})`;
    throw new UsageError(`${path} is not JSON${location}. Correct it there.`);
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

/** Parses a value as the command line would. `origin` is named in errors. */
function parse(option: Option, raw: unknown, origin: string, folder: string): unknown {
  const kind = kindOf(option);
  if (kind === 'flag' || (kind === 'server' && typeof raw === 'boolean')) {
    if (typeof raw === 'boolean') return raw;
    throw new UsageError(`${origin} must be true or false.`);
  }
  if (kind === 'list') {
    const texts = Array.isArray(raw) ? raw : [raw];
    if (texts.every((text) => typeof text === 'string')) return texts;
    throw new UsageError(`${origin} must be a text or an array of texts.`);
  }
  if (typeof raw !== 'string' && typeof raw !== 'number') throw new UsageError(`${origin} must be a text or a number.`);
  if (placeholderOf(option) === 'dir') return resolve(folder, String(raw));
  return parseText(option, String(raw), origin);
}

/**
 * Parses a text with the parser of the option.
 *
 * @throws {UsageError} which starts with the origin of the text.
 */
export function parseText(option: Option, text: string, origin: string): unknown {
  if (kindOf(option) === 'list') return [text];
  try {
    return option.parseArg === undefined ? text : option.parseArg(text, undefined);
  } catch (error) {
    throw new UsageError(`${origin} is not valid. ${(error as Error).message}`, { cause: error });
  }
}

/** Returns whether both options parse the same text to the same value. */
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

/** Returns the name of a command's section: the command itself, or the one that it is a subcommand of. */
export function sectionOf(command: Command): string | undefined {
  if (command.parent === null) return undefined;
  return command.parent.parent === null ? command.name() : sectionOf(command.parent);
}

/** Returns a command with all its subcommands. */
export function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}

/** Returns whether the help lists the command. */
export function isListed(command: Command): boolean {
  return !(command as unknown as { _hidden: boolean })._hidden;
}

import { Option } from 'commander';

/** A server that an option switches on. */
export interface ServerOption {
  /** The environment variable that says where it is. */
  readonly env: string;
  /** Where it is unless somebody says. */
  readonly local: string;
  readonly isUrl: (text: string) => boolean;
}

/** An option, and what besides its help the configuration file and the completions need to know of it. */
export class CliOption extends Option {
  /** For an option that takes a URL or nothing: `--redis`. */
  server: ServerOption | undefined;
  /**
   * Where a configuration file may name it: `anywhere`, for all commands that have it; in the `section` of its command
   * only, where it narrows what is shown; `never`, where it is somebody's consent.
   */
  inFile: 'anywhere' | 'section' | 'never' = 'anywhere';
}

/** Adds to what was given before; `--topic a --topic b`. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** What the value of an option looks like. */
export function kindOf(option: Option): 'flag' | 'list' | 'server' | 'value' {
  if (option instanceof CliOption && option.server !== undefined) return 'server';
  if (option.parseArg === collect) return 'list';
  return option.required || option.optional ? 'value' : 'flag';
}

/** Whether a configuration file may name the option, and where. */
export function inFile(option: Option): CliOption['inFile'] {
  if (option.mandatory || option.long === '--version') return 'never';
  return option instanceof CliOption ? option.inFile : 'anywhere';
}

/** What stands for the value in the help: `dir` of `--data-dir <dir>`. */
export function placeholderOf(option: Option): string | undefined {
  return /[<[](\w[\w-]*)/.exec(option.flags)?.[1];
}

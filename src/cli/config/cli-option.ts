import { Option } from 'commander';

/** A server that an option enables. */
export interface ServerOption {
  /** Environment variable with its URL. */
  readonly env: string;
  /** Default URL. */
  readonly local: string;
  readonly isUrl: (text: string) => boolean;
}

/** An option with the facts that the configuration file and the completions need. */
export class CliOption extends Option {
  /** For an option that takes a URL or nothing: `--redis`. */
  server: ServerOption | undefined;
  /**
   * Part of a configuration file that may name it: `anywhere`, for all commands that have it; only the `section` of its
   * command, if it narrows the output; `never`, if it is the user's consent.
   */
  inFile: 'anywhere' | 'section' | 'never' = 'anywhere';
}

/** Appends a value to the earlier ones: `--topic a --topic b`. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** Returns the kind of value that an option takes. */
export function kindOf(option: Option): 'flag' | 'list' | 'server' | 'value' {
  if (option instanceof CliOption && option.server !== undefined) return 'server';
  if (option.parseArg === collect) return 'list';
  return option.required || option.optional ? 'value' : 'flag';
}

/** Returns the part of a configuration file that may name the option. */
export function inFile(option: Option): CliOption['inFile'] {
  if (option.mandatory || option.long === '--version') return 'never';
  return option instanceof CliOption ? option.inFile : 'anywhere';
}

/** Returns the placeholder of the value in the help: `dir` for `--data-dir <dir>`. */
export function placeholderOf(option: Option): string | undefined {
  return /[<[](\w[\w-]*)/.exec(option.flags)?.[1];
}

import type { JsonValue } from '../core/value.ts';

/** A value in the cache, or a part of one, that may have to be hidden. */
export interface ValuePath {
  readonly namespace: string;
  readonly key: string;
  /** From the entry's value to the part; empty: the whole value. */
  readonly path: readonly (string | number)[];
  readonly value: JsonValue;
}

/** The values that the inspector hides from its readers. */
export type Redact = readonly (string | RegExp)[] | ((place: ValuePath) => boolean) | false;

/** Options of the inspector. */
export interface InspectorOptions {
  /** Port to listen on. Default 0: a free one. */
  readonly port?: number | undefined;
  /**
   * The address that is listened on. Default `127.0.0.1`: only this machine. With any other, all who can reach it and have
   * the token see the data, and it goes over the network as it is, not encrypted.
   */
  readonly host?: string | undefined;
  /** Token that a browser must send. At least 16 characters of `A-Z a-z 0-9 - _`. Default: 32 random bytes. */
  readonly token?: string | undefined;
  /** Whether entries may be changed and snapshots taken from there. Default false. */
  readonly allowWrite?: boolean | undefined;
  /**
   * What never leaves the process: patterns of names, or a function that says of a part of a value whether it is hidden.
   * A pattern is a word that a namespace, a key or a property has in its name (`token` also means `authToken` and
   * `AUTH_TOKEN`), or a regular expression. `false`: nothing. Default: the words of tokens, passwords, secrets and keys,
   * and texts that look like one. See `hidesSecrets`.
   */
  readonly redact?: Redact | undefined;
  /**
   * Sends what the cache's actors do to this `ws://` address, in the protocol of `@statelyai/inspect`. Makes every command
   * several times dearer. Default: nowhere.
   */
  readonly sendTo?: string | undefined;
  /** Called with the address, token included. */
  readonly onListening?: ((url: string) => void) | undefined;
}

/** An inspector that shows a cache. It ends with the cache. */
export interface Inspector extends AsyncDisposable {
  /** Address for a browser, token included. */
  readonly url: string;
  readonly port: number;
  readonly token: string;
  /** Stops serving. The cache goes on. */
  close(): Promise<void>;
}

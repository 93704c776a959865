import type { JsonValue } from '../core/value.ts';

/** A value in the cache, or a part of one, that may have to be hidden. */
export interface ValuePath {
  readonly namespace: string;
  readonly key: string;
  /** Path from the entry's value to the part. An empty path means the whole value. */
  readonly path: readonly (string | number)[];
  readonly value: JsonValue;
}

/** The values that the inspector hides from its readers. */
export type Redact = readonly (string | RegExp)[] | ((part: ValuePath) => boolean) | false;

/** Options of the inspector. */
export interface InspectorOptions {
  /** Port to listen on. Default 0: a free one. */
  readonly port?: number | undefined;
  /**
   * Address to listen on. Default `127.0.0.1`: only this machine. With any other address, everyone who can reach it and
   * has the token sees the data, which crosses the network unencrypted.
   */
  readonly host?: string | undefined;
  /** Token that a browser must send. At least 16 characters of `A-Z a-z 0-9 - _`. Default: 32 random bytes. */
  readonly token?: string | undefined;
  /** Allows the page to change entries and take snapshots. Default false. */
  readonly allowWrite?: boolean | undefined;
  /**
   * The values that never leave the process: patterns of names, or a function that returns whether a part of a value is
   * hidden. A pattern is a regular expression, or a word in the name of a namespace, key or property (`token` also
   * matches `authToken` and `AUTH_TOKEN`). `false` hides nothing. Default: names with words for tokens, passwords,
   * secrets and keys, and texts that look like one. See `hidesSecrets`.
   */
  readonly redact?: Redact | undefined;
  /**
   * A `ws://` address that gets the events of the cache's actors, in the protocol of `@statelyai/inspect`. Makes every
   * command several times slower. Default: none.
   */
  readonly sendTo?: string | undefined;
  /** Called with the address, which includes the token. */
  readonly onListening?: ((url: string) => void) | undefined;
}

/** An inspector that shows a cache. It closes with the cache. */
export interface Inspector extends AsyncDisposable {
  /** Address for a browser. Includes the token. */
  readonly url: string;
  readonly port: number;
  readonly token: string;
  /** Stops serving. The cache stays open. */
  close(): Promise<void>;
}

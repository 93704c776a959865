import { encodeNamespace } from '../../core/names.ts';

/** The names of the keys in Redis. */
export class RedisLayout {
  /** The beginning of every key. */
  readonly prefix: string;
  /** A set: the namespaces, encoded. */
  readonly namespaces: string;
  /** A hash: log → position. */
  readonly positions: string;
  /** A hash: the cache that the mirror belongs to. */
  readonly owner: string;

  constructor(prefix: string) {
    this.prefix = prefix;
    this.namespaces = `${prefix}:namespaces`;
    this.positions = `${prefix}:positions`;
    this.owner = `${prefix}:owner`;
  }

  /** The beginning of the keys that hold the values of a namespace. */
  space(namespace: string): string {
    return `${this.prefix}${encodeNamespace(namespace)}:`;
  }

  value(namespace: string, key: string): string {
    return this.space(namespace) + key;
  }

  /** A set: the keys of the namespace. */
  index(namespace: string): string {
    return `${this.prefix}:keys:${encodeNamespace(namespace)}`;
  }
}

/** Redis takes whole milliseconds in plain digits. */
export function instantOf(expiresAt: number): string {
  return String(Math.min(Math.max(Math.ceil(expiresAt), 1), Number.MAX_SAFE_INTEGER));
}

import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { ContextCacheError } from '../../core/errors.ts';
import { optionNames } from '../../core/options.ts';
import type { SnapshotTransform } from './snapshot-transform.ts';

/** Options of {@link encrypt}. */
export interface EncryptOptions {
  /** 32 random bytes: as bytes, as 64 hex digits, or as base64 or base64url. A passphrase is not a key. */
  readonly key: Uint8Array | string;
}

const OPTIONS = optionNames<EncryptOptions>('encrypt', { key: true });

/**
 * The form of a blob: `format (1 byte) | fingerprint of the key (8) | nonce (12) | ciphertext | tag (16)`. Format and
 * fingerprint are authenticated with the content.
 */
const FORMAT = 1;
const FINGERPRINT_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const HEAD_BYTES = 1 + FINGERPRINT_BYTES;

const CIPHER = 'aes-256-gcm';
/** Hashed together with the key, so that the fingerprint reveals nothing about other uses of the key. */
const LABEL = 'agent-context-cache snapshot key\n';

/**
 * Returns a transform named `aes-256-gcm`, which encrypts each blob with AES-256-GCM and a new random nonce. Put it after
 * {@link compress}, because encrypted bytes cannot be compressed.
 *
 * Keep the key: a snapshot cannot be read without it. Reading with another key rejects with `INVALID_OPTION`, reading an
 * altered blob with `SNAPSHOT_CORRUPT`. Equal parts differ once encrypted, so each is stored; unchanged namespaces are
 * still not written again.
 *
 * @throws {ContextCacheError} `INVALID_OPTION` if the key is not 32 bytes.
 *
 * @example
 * ```ts
 * const transforms = [compress(), encrypt({ key: process.env.BACKUP_KEY ?? '' })];
 * const cache = await AgentContextCache.open({ dataDir: './data', backup: { enabled: true, transforms } });
 * ```
 */
export function encrypt(options: EncryptOptions): SnapshotTransform {
  const { key } = OPTIONS.checked(options);
  const secret = keyBytes(key);
  const head = Buffer.concat([Buffer.of(FORMAT), fingerprint(secret)]);
  return {
    name: CIPHER,
    encode: (bytes) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES }).setAAD(head);
      return Buffer.concat([head, nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    },
    decode: (bytes) => decrypt(secret, head, bytes),
  };
}

function decrypt(secret: Uint8Array, head: Buffer, bytes: Uint8Array): Uint8Array {
  const blob = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (blob.length < HEAD_BYTES + NONCE_BYTES + TAG_BYTES) throw damaged('is too short');
  if (blob[0] !== FORMAT) {
    const message = `The snapshot's encryption has format ${blob[0]}; this version reads format ${FORMAT}. Update the package.`;
    throw new ContextCacheError('FORMAT_UNSUPPORTED', message);
  }
  if (!blob.subarray(0, HEAD_BYTES).equals(head)) {
    const message = 'The snapshot was encrypted with another key. Give the key that it was written with.';
    throw new ContextCacheError('INVALID_OPTION', message);
  }
  const nonce = blob.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES })
    .setAAD(head)
    .setAuthTag(blob.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(blob.subarray(HEAD_BYTES + NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (cause) {
    throw damaged('was altered: its authentication tag is wrong', cause);
  }
}

function damaged(problem: string, cause?: unknown): ContextCacheError {
  const message = `An encrypted blob of the snapshot ${problem}. Use an older snapshot, or take a new one of a running cache.`;
  return new ContextCacheError('SNAPSHOT_CORRUPT', message, { cause });
}

function fingerprint(secret: Uint8Array): Buffer {
  return createHash('sha256').update(LABEL).update(secret).digest().subarray(0, FINGERPRINT_BYTES);
}

/** Returns a copy of the key, so that the caller may erase its own. */
function keyBytes(key: Uint8Array | string): Uint8Array {
  const bytes = typeof key === 'string' ? textKey(key.trim()) : key;
  if (bytes instanceof Uint8Array && bytes.length === KEY_BYTES) return Uint8Array.from(bytes);
  const message = `The key of encrypt() is ${KEY_BYTES} bytes: a Uint8Array, ${2 * KEY_BYTES} hex digits, or base64. Make one with: openssl rand -base64 ${KEY_BYTES}`;
  throw new ContextCacheError('INVALID_OPTION', message);
}

function textKey(text: string): Uint8Array | undefined {
  if (/^[\da-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  // The last digit holds 4 bits of the key; the other 2 must be 0, or two texts would be one key.
  return /^[\w+/-]{42}[AEIMQUYcgkosw048]=?$/.test(text) ? Buffer.from(text, 'base64') : undefined;
}

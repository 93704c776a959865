import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ContextCacheError } from '../core/errors.ts';
import { writeDirectoryFile } from './directory-file.ts';
import { type AgentTokens, tokenDigest } from './http-guard.ts';

/** The token of an agent, as a data directory keeps it: a hash, from which the token cannot be found. */
export interface AgentToken {
  readonly agent: string;
  /** SHA-256 of the token, hexadecimal. */
  readonly sha256: string;
  /** Epoch milliseconds. */
  readonly createdAt: number;
}

const NAME = 'tokens.json';
const VERSION = 1;

/** Returns a new token: 32 random bytes as text for an HTTP header. */
export function newToken(): string {
  return randomBytes(32).toString('base64url');
}

/**
 * Returns the agents' tokens of a data directory, in the order of their creation.
 *
 * @throws {ContextCacheError} `FILE_CORRUPT`.
 */
export function readAgentTokens(dataDir: string): AgentToken[] {
  const path = join(dataDir, NAME);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new ContextCacheError('LOG_UNAVAILABLE', `${path} cannot be read. Check the permissions.`, { cause: error });
  }
  try {
    const { version, tokens } = JSON.parse(text) as { version: unknown; tokens: AgentToken[] };
    if (version === VERSION && tokens.every(isToken)) return tokens;
  } catch {
    // Reported below.
  }
  throw new ContextCacheError(
    'FILE_CORRUPT',
    `${path} holds no tokens of this version. Remove it and create them again.`,
  );
}

function isToken({ agent, sha256 }: AgentToken): boolean {
  return typeof agent === 'string' && /^[0-9a-f]{64}$/.test(sha256);
}

/** Creates a token for an agent in a data directory and returns it. It replaces the agent's earlier one. */
export async function createAgentToken(dataDir: string, agent: string, now: number): Promise<string> {
  const token = newToken();
  const sha256 = tokenDigest(token).toString('hex');
  const others = readAgentTokens(dataDir).filter((each) => each.agent !== agent);
  await writeAgentTokens(dataDir, [...others, { agent, sha256, createdAt: now }]);
  return token;
}

/** Removes the token of an agent. Resolves with whether there was one. */
export async function revokeAgentToken(dataDir: string, agent: string): Promise<boolean> {
  const tokens = readAgentTokens(dataDir);
  const others = tokens.filter((each) => each.agent !== agent);
  if (others.length === tokens.length) return false;
  await writeAgentTokens(dataDir, others);
  return true;
}

function writeAgentTokens(dataDir: string, tokens: readonly AgentToken[]): Promise<void> {
  return writeDirectoryFile(join(dataDir, NAME), { version: VERSION, tokens });
}

/** The agents' tokens of a data directory, read again when the file has changed. */
export class AgentTokenFile {
  readonly #dataDir: string;
  #seen = '';
  #tokens: AgentTokens = new Map();

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** The present tokens. Empty while the file cannot be read, so that a damaged file admits no client. */
  get tokens(): AgentTokens {
    try {
      const file = statSync(join(this.#dataDir, NAME), { throwIfNoEntry: false });
      const seen = file === undefined ? '' : `${file.ino} ${file.mtimeMs} ${file.size}`;
      if (seen === this.#seen) return this.#tokens;
      const tokens = readAgentTokens(this.#dataDir);
      this.#tokens = new Map(tokens.map(({ agent, sha256 }) => [agent, Buffer.from(sha256, 'hex')]));
      this.#seen = seen;
    } catch {
      this.#tokens = new Map();
      this.#seen = 'unreadable';
    }
    return this.#tokens;
  }
}

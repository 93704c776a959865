import type { ValuePath } from '../../engine/inspector-options.ts';

/** A word that marks a name as secret, also at the end of a compound (`authtoken`). */
const SECRET =
  /^(.*(password|passwd|passphrase|passcode|secret|credential|apikey|secretkey|privatekey|accesskey)s?|.*tokens?|pwd|authorization|cookies?|bearer|jwt)$/;
/** The last word of a name whose number is secret. Under other names a number is a count (`max_tokens`, `token_count`). */
const SECRET_NUMBER = /(token|password|passwd|passphrase|passcode|secret|pwd|key)$/;
/** Texts that are secret under any name. */
const LOOKS_SECRET =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----|\beyJ[\w-]{8,}\.[\w-]{8,}\.|\b(sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[abprs]|npm)[-_][\w-]{16,}|\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bBearer [\w.~+/-]{16,}|:\/\/[^\s/:@]*:[^\s/@]+@/;

/** Returns the words of a name in lower case: `authToken`, `AUTH_TOKEN` and `auth-token` have the same two. */
export function wordsOf(name: string): string[] {
  const parts = name.split(/[^\p{L}\p{N}]+|(?<=[\p{Ll}\p{N}])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/u);
  return parts.filter((part) => part !== '').map((part) => part.toLowerCase());
}

/**
 * Returns whether the inspector hides a value by default. Hidden are values whose namespace, key or property is named
 * like a token, password, secret, credential or key (`apiKey`, not a plain `key`), and texts that look like one. `null`,
 * `true` and `false` are always shown. Call it from your own `redact`.
 *
 * @example
 * ```ts
 * await startInspector(cache, { redact: (part) => hidesSecrets(part) || part.namespace === 'patients' });
 * ```
 */
export function hidesSecrets({ namespace, key, path, value }: ValuePath): boolean {
  if (value === null || typeof value === 'boolean') return false;
  if (typeof value === 'string' && LOOKS_SECRET.test(value)) return true;
  const last = path.at(-1);
  if (last === undefined) return isSecret(namespace, value) || isSecret(key, value);
  return typeof last === 'string' && isSecret(last, value);
}

function isSecret(name: string, value: unknown): boolean {
  const words = wordsOf(name);
  const isKey = words.length > 1 && /^keys?$/.test(words.at(-1) ?? '');
  if (!isKey && !words.some((word) => SECRET.test(word))) return false;
  return typeof value !== 'number' || SECRET_NUMBER.test(words.at(-1) ?? '');
}

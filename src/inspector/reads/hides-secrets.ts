import type { ValuePath } from '../../engine/inspector-options.ts';

/** A word of a name that says: this is secret. Some are written together (`authtoken`). */
const SECRET =
  /^(.*(password|passwd|passphrase|passcode|secret|credential|apikey|secretkey|privatekey|accesskey)s?|.*tokens?|pwd|authorization|cookies?|bearer|jwt)$/;
/** A number under a name that ends like this is secret as well; else it is a count (`max_tokens`, `token_count`). */
const SECRET_NUMBER = /(token|password|passwd|passphrase|passcode|secret|pwd|key)$/;
/** Texts that are secret wherever they are. */
const LOOKS_SECRET =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----|\beyJ[\w-]{8,}\.[\w-]{8,}\.|\b(sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[abprs]|npm)[-_][\w-]{16,}|\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bBearer [\w.~+/-]{16,}|:\/\/[^\s/:@]*:[^\s/@]+@/;

/** The words of a name, in small letters: those of `authToken`, `AUTH_TOKEN` and `auth-token` are the same. */
export function wordsOf(name: string): string[] {
  const parts = name.split(/[^\p{L}\p{N}]+|(?<=[\p{Ll}\p{N}])(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})/u);
  return parts.filter((part) => part !== '').map((part) => part.toLowerCase());
}

/**
 * What is hidden by default: what is called a token, password, secret, credential or key (`apiKey`, not a plain `key`) by
 * its namespace, key or property, and texts that look like one. `true` and `false` never are. For a `redact` of your own.
 *
 * @example
 * ```ts
 * await startInspector(cache, { redact: (place) => hidesSecrets(place) || place.namespace === 'patients' });
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

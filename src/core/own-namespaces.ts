/** The namespaces in which the cache keeps its own records. */

/** The namespace of the records of forgotten subjects: the key is the subject. Only `forget` writes to it. */
export const FORGOTTEN_NAMESPACE = '$forgotten';

/** Namespace in which the end of each agent's last briefing is kept. Briefings leave it out. */
export const BRIEFINGS = 'briefing/cursors';

/** Returns whether the cache itself keeps its records in the namespace: what was forgotten, and ends of briefings. */
export function isOwnNamespace(namespace: string): boolean {
  return namespace === FORGOTTEN_NAMESPACE || namespace === BRIEFINGS;
}

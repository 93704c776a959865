/** Code of JetStream for a stream that too few servers can hold, for example because they lack space. */
export const NO_PEERS = 10_005;
/** Code of JetStream for a stream that takes more space than a server has left. */
export const STORAGE_EXCEEDED = 10_047;
/** Code of JetStream for a stream that does not exist. */
export const STREAM_NOT_FOUND = 10_059;
/** Code of JetStream for a stream that has reached `max_bytes`. */
export const MAX_BYTES_REACHED = 10_077;

/** Resolves with `undefined` if the stream does not exist. */
export async function ifFound<Result>(work: Promise<Result>): Promise<Result | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === STREAM_NOT_FOUND) return undefined;
    throw error;
  }
}

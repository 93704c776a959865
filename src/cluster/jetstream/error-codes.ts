/** Code of JetStream for a stream that does not exist. */
export const STREAM_NOT_FOUND = 10_059;
/** Code of JetStream for a stream that has reached `max_bytes`. */
export const MAX_BYTES_REACHED = 10_077;

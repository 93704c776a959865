declare module 'crc-32/crc32c.js' {
  /** Signed; `seed` is what the bytes before gave. */
  export function buf(bytes: Uint8Array, seed?: number): number;
}

declare module 'snappyjs' {
  /** Throws where the bytes cannot be, or are of more than `maxLength` bytes. */
  export function uncompress(bytes: Uint8Array, maxLength?: number): Uint8Array;
}

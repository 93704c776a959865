declare module 'crc-32/crc32c.js' {
  /** Returns a signed value. `seed` is the result for the preceding bytes. */
  export function buf(bytes: Uint8Array, seed?: number): number;
}

declare module 'snappyjs' {
  /** Throws if the bytes are invalid, or decompress to more than `maxLength` bytes. */
  export function uncompress(bytes: Uint8Array, maxLength?: number): Uint8Array;
}

/** The address that only this machine reaches. */
export const LOOPBACK = '127.0.0.1';

/** Returns a host as it stands in a URL. An address that stands for all addresses is reached by loopback. */
export function hostInUrl(host: string): string {
  if (host === '0.0.0.0' || host === '::') return LOOPBACK;
  return host.includes(':') ? `[${host}]` : host;
}

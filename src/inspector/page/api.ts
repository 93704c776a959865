import type { EntryDetail } from '../data-protocol.ts';
import type { Addresses, ErrorAnswer } from '../protocol.ts';
import { token } from './token.ts';

/** Parameters of a query. Leaves out `undefined`, and empty ones except for a key, which may be empty; a list becomes one parameter for each item. */
export type Query = Readonly<Record<string, string | number | readonly string[] | undefined>>;

type GetAddress = Extract<keyof Addresses, `GET ${string}`>;
type PostAddress = Extract<keyof Addresses, `POST ${string}`>;

/** An error in the server's own words; `UNREACHABLE` if it did not answer. */
export class RequestFailed extends Error {
  readonly code: string;
  /** With `VERSION_CONFLICT`, the entry as it is now. */
  readonly current: EntryDetail | null;

  constructor(code: string, message: string, current: EntryDetail | null = null) {
    super(message);
    this.code = code;
    this.current = current;
  }
}

/** Sends a request that only reads. */
export function get<A extends GetAddress>(address: A, query: Query = {}, signal?: AbortSignal): Promise<Addresses[A]> {
  return request(address, `${pathOf(address)}${textOf(query)}`, { signal: signal ?? null }) as Promise<Addresses[A]>;
}

/** Sends a request that changes something. */
export function post<A extends PostAddress>(address: A, body: unknown = {}): Promise<Addresses[A]> {
  const headers = { 'content-type': 'application/json' };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  return request(address, pathOf(address), init) as Promise<Addresses[A]>;
}

const pathOf = (address: string): string => address.slice(address.indexOf(' ') + 1);

function textOf(query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || (value === '' && name !== 'key')) continue;
    for (const each of typeof value === 'object' ? value : [value]) search.append(name, String(each));
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

async function request(name: string, path: string, init: RequestInit): Promise<unknown> {
  const response = await answerOf(path, init);
  const body = (await response.json().catch(() => undefined)) as unknown;
  if (response.ok && body !== undefined) return body;
  const { error } = (body ?? {}) as Partial<ErrorAnswer>;
  const fallback = `${name} was answered with status ${response.status}.`;
  throw new RequestFailed(error?.code ?? 'INTERNAL', error?.message ?? fallback, error?.current ?? null);
}

async function answerOf(path: string, init: RequestInit): Promise<Response> {
  try {
    const headers = { ...init.headers, authorization: `Bearer ${token() ?? 'none'}` };
    return await fetch(path, { ...init, headers, cache: 'no-store', credentials: 'omit' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new RequestFailed('UNREACHABLE', 'The inspected process does not answer.');
  }
}

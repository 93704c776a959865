import type { Call, RequestObject } from './call.ts';

/** Returns the request of a call as it is sent. A write with an operation id that was sent before says since when. */
export function sentRequest(call: Call, log: string, position: number): RequestObject {
  const { request, since } = call;
  if (since !== undefined) return { ...request, repeats: since };
  if (request.operationId !== undefined) call.since = { log, position };
  return request;
}

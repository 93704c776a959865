import { ContextCacheError, toError } from '../../core/errors.ts';
import { permissionViolation } from '../../followers/broadcast/topic-route.ts';
import { STREAM_NOT_FOUND } from './error-codes.ts';
import { forbidden, noLeader, type StreamLink } from './stream-link.ts';
import type { StreamNames } from './stream-names.ts';

/** Milliseconds that the leader of the stream may take for an answer. */
export const API_MS = 4_000;

/** Codes of errors that say more than that the leader did not answer. */
const KEPT: ReadonlySet<string> = new Set(['CLOSED', 'BACKEND_FAILED', 'LOG_UNAVAILABLE']);

/** The parts of an answer that tell whether it is one. */
interface Answer {
  readonly error?: { readonly description?: string; readonly err_code?: number };
  readonly cluster?: { readonly leader?: string };
}

/** Waits for work, at most `ms`. */
export type Within = <Result>(work: Promise<Result>, ms: number) => Promise<Result>;

/**
 * Sends a request about the stream to the interface of JetStream, and returns the answer of the stream's leader.
 *
 * @throws {ContextCacheError} `NOT_FOUND` if the stream does not exist, `LOG_UNAVAILABLE` if no leader answers or it refuses,
 *   `BACKEND_FAILED` if the user may not ask.
 */
export async function askLeader(
  link: Pick<StreamLink, 'request'>,
  names: StreamNames,
  request: { readonly subject: string; readonly payload: string },
  within: Within,
): Promise<object> {
  let answer: Answer;
  try {
    answer = (await within(link.request(request.subject, request.payload), API_MS)).json();
  } catch (thrown) {
    const error = toError(thrown);
    if (error instanceof ContextCacheError && KEPT.has(error.code)) throw error;
    const violation = permissionViolation(error);
    if (violation !== undefined) throw forbidden(violation, names);
    if (error.name === 'NoRespondersError') throw noLeader(names);
    const message = `The leader of the stream ${names.stream} did not answer. Check that most of its servers run and see each other.`;
    throw new ContextCacheError('LOG_UNAVAILABLE', message, { cause: error });
  }
  if (answer.error === undefined) {
    // A server that has lost the others answers too, without a leader, and may lack what they have stored.
    if (answer.cluster !== undefined && !answer.cluster.leader) throw noLeader(names);
    return answer;
  }
  if (answer.error.err_code === STREAM_NOT_FOUND) {
    const message = `There is no stream ${names.stream}. If the cluster ${JSON.stringify(names.cluster)} is new, create it; if its stream was lost, refound it from a node or a snapshot.`;
    throw new ContextCacheError('NOT_FOUND', message);
  }
  const message = `JetStream refused a request about the stream ${names.stream}: ${answer.error.description ?? 'it gave no reason'}.`;
  throw new ContextCacheError('LOG_UNAVAILABLE', message);
}

import { ContextCacheError } from '../core/errors.ts';
import type { JsonValue } from '../core/value.ts';
import {
  CLIENT_COMMANDS,
  CLIENT_CONNECTS,
  type ClientCommandFields,
  commonOperation,
  traceOf,
} from '../monitoring/channels.ts';
import type { Reporter } from '../monitoring/reporter.ts';
import type { Hello } from '../wire/socket-protocol.ts';
import type { RequestObject, StreamEvents, StreamKind } from './call.ts';
import type { Endpoint } from './endpoint.ts';
import type { Socket } from './socket.ts';

/** Names that commands have in messages, if their requests are called otherwise. */
const COMMAND_OF: { readonly [type: string]: string } = {
  'write.entry': 'context.set',
  'read.many': 'context.getMany',
  'read.entry': 'context.entry',
  'read.keys': 'context.keys',
  'read.entries': 'context.entries',
  'read.namespaces': 'context.namespaces',
};

/** Publishes what a client asks of its server, and its connections. */
export class LinkTrace {
  readonly #reporter: Reporter;
  #address = '';
  #port = 0;
  #hello: Hello | undefined;

  constructor(reporter: Reporter) {
    this.#reporter = reporter;
  }

  /** True if requests are published. */
  get isHeard(): boolean {
    return CLIENT_COMMANDS.isHeard;
  }

  /** Publishes a request and its answer. */
  ask(request: RequestObject, send: () => Promise<JsonValue | undefined>): Promise<JsonValue | undefined> {
    return CLIENT_COMMANDS.run(this.#fieldsOf(request), this.#reporter.details, send, (answer, message) => {
      if (request.type === 'context.get' || request.type.endsWith('.entry'))
        message.found = answer === undefined ? 0 : 1;
      if (typeof answer !== 'object' || answer === null) return;
      const { changed, position } = answer as { readonly changed?: JsonValue; readonly position?: JsonValue };
      if (typeof changed !== 'boolean' || typeof position !== 'number') return;
      message.changed = changed;
      message.position = position;
    });
  }

  /** Publishes a stream while it runs, unless it is a watch. Returns the events to use, and what to call if it is cancelled. */
  stream(
    request: RequestObject,
    events: StreamEvents,
    kind: StreamKind,
  ): { readonly events: StreamEvents; readonly cancelled: () => void } {
    if (kind === 'watch' || !this.isHeard) return { events, cancelled: () => {} };
    let found = 0;
    const publish = CLIENT_COMMANDS.begin(this.#fieldsOf(request), this.#reporter.details);
    let hasEnded = false;
    const end = (error?: Error) => {
      if (!hasEnded) publish(error, { found });
      hasEnded = true;
    };
    return {
      cancelled: () => end(),
      events: {
        onBatch: (items, position) => {
          found += items.length;
          events.onBatch(items, position);
        },
        onEnd: (error) => {
          end(error);
          events.onEnd(error);
        },
        onLost: () => {
          end(new ContextCacheError('UNREACHABLE', 'The connection was lost. What is left is asked for again.'));
          events.onLost();
        },
      },
    };
  }

  /** Publishes an attempt to connect. */
  connect(endpoint: Endpoint, attempt: number, open: () => Promise<Socket>): Promise<Socket> {
    const { hostname, port, protocol } = new URL(endpoint.url);
    this.#address = hostname.replace(/^\[|\]$/g, '');
    this.#port = port === '' ? (protocol === 'wss:' ? 443 : 80) : Number(port);
    this.#reporter.log('debug', SOURCE, `Connecting to ${endpoint.shown}, attempt ${attempt}.`);
    if (!CLIENT_CONNECTS.isHeard) return open();
    return CLIENT_CONNECTS.run({ target: endpoint.shown, attempt }, this.#reporter.details, open);
  }

  isConnected(hello: Hello): void {
    this.#hello = hello;
    this.#reporter.log('info', SOURCE, `Connected to ${this.#address}:${this.#port}.`);
  }

  #fieldsOf(request: RequestObject): ClientCommandFields {
    const { type, namespace, agent, keys, operations, ifVersion, ifAbsent, ifPresent, meta, key } = request;
    const creates = ifVersion === 0 || ifAbsent === true;
    const replaces = typeof ifVersion === 'number' || ifPresent === true;
    const fields = {
      command: COMMAND_OF[type] ?? type,
      namespace: typeof namespace === 'string' ? namespace : undefined,
      agent: typeof agent === 'string' ? agent : (this.#hello?.agent ?? null),
      log: this.#hello?.log ?? '',
      size: Array.isArray(operations) ? operations.length : Array.isArray(keys) ? keys.length : undefined,
      operation: Array.isArray(operations) ? commonOperation(operations) : undefined,
      condition: creates ? 'create' : replaces ? 'replace' : undefined,
      trace: traceOf(meta as JsonValue | undefined),
      address: this.#address,
      port: this.#port,
    } as const;
    return this.#reporter.details && typeof key === 'string' ? { ...fields, key } : fields;
  }
}

const SOURCE = { source: 'connection' };

import { type TracingChannelSubscribers, tracingChannel } from 'node:diagnostics_channel';
import type {
  Attributes,
  Context,
  Histogram,
  Link,
  Meter,
  MeterProvider,
  Span,
  SpanContext,
  SpanKind,
  Tracer,
  TracerProvider,
} from '@opentelemetry/api';
import { type Clock, ContextCacheError, type JsonValue, systemClock } from '../index.ts';
import { CHANNELS, type ChannelMessages, type TraceParent } from '../monitoring.ts';
import {
  attributesOf,
  DURATION_BOUNDS,
  metricAttributesOf,
  NAMES,
  operationOf,
  outcomeOf,
  SYSTEM,
} from './opentelemetry-names.ts';

type Api = typeof import('@opentelemetry/api');
type ChannelName = keyof ChannelMessages;

/** Options of {@link startTelemetry}. */
export interface TelemetryOptions {
  /** Makes the spans. Default: the global one. */
  readonly tracerProvider?: TracerProvider | undefined;
  /** Makes the metrics. Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined;
  /** The channels that are listened to, by their names in `CHANNELS`. Default: all. */
  readonly channels?: readonly ChannelName[] | undefined;
  /** Makes spans. Default true. */
  readonly spans?: boolean | undefined;
  /** Makes metrics. Default true. */
  readonly metrics?: boolean | undefined;
  /** Gives metrics the namespace as an attribute, so that each namespace has series of its own. Default false. */
  readonly namespaces?: boolean | undefined;
  /** Source of time for durations. Default: the system clock. */
  readonly clock?: Clock | undefined;
}

/** Running telemetry. */
export interface Telemetry extends Disposable {
  /**
   * Returns `meta` that names the active span, for a write whose trace others are to continue: the process that executes it,
   * and every reader of its update. Returns `meta` unchanged if no span is active.
   */
  meta(meta?: { readonly [name: string]: JsonValue }): { readonly [name: string]: JsonValue };
  /** Stops listening to the channels. */
  stop(): void;
}

const OPTIONS = ['tracerProvider', 'meterProvider', 'channels', 'spans', 'metrics', 'namespaces', 'clock'];

/**
 * Turns what the caches and clients of this process publish into spans and metrics of OpenTelemetry, by the semantic
 * conventions for databases and for the memories of agents. Needs the package `@opentelemetry/api`, and an SDK that is set up.
 *
 * @throws {ContextCacheError} (as a rejection) `INVALID_OPTION`; `NOT_FOUND` if `@opentelemetry/api` is not installed.
 *
 * @example
 * ```ts
 * using telemetry = await startTelemetry();
 * await cache.set('plan', ['search', 'book'], 'trip', { meta: telemetry.meta() });
 * ```
 */
export async function startTelemetry(options: TelemetryOptions = {}): Promise<Telemetry> {
  const channels = checked(options);
  const api = await loadApi();
  const run = new Run(api, options);
  const listening = channels.map((name) => {
    const channel = tracingChannel<unknown, object>(CHANNELS[name]);
    const subscribers = subscribersOf(run, name);
    channel.subscribe(subscribers);
    return () => channel.unsubscribe(subscribers);
  });
  const stop = () => {
    for (const each of listening.splice(0)) each();
  };
  return { meta: (meta = {}) => ({ ...meta, ...run.active() }), stop, [Symbol.dispose]: stop };
}

function checked(options: TelemetryOptions): readonly ChannelName[] {
  for (const name in options) {
    if (!OPTIONS.includes(name)) throw invalid(`startTelemetry has no option ${name}. It takes ${OPTIONS.join(', ')}.`);
  }
  for (const name of ['spans', 'metrics', 'namespaces'] as const) {
    const given: unknown = options[name];
    if (given !== undefined && typeof given !== 'boolean') throw invalid(`${name} must be true or false.`);
  }
  const known = Object.keys(CHANNELS) as ChannelName[];
  const { channels = known } = options;
  if (!Array.isArray(channels)) throw invalid('channels must be an array.');
  const unknown = channels.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw invalid(`There is no channel ${JSON.stringify(unknown)}. Known are ${known.join(', ')}.`);
  return [...new Set(channels)];
}

async function loadApi(): Promise<Api> {
  try {
    return await import('@opentelemetry/api');
  } catch (cause) {
    const message = 'startTelemetry needs the package @opentelemetry/api. Install it: npm install @opentelemetry/api';
    throw new ContextCacheError('NOT_FOUND', message, { cause });
  }
}

/** How an operation of a channel becomes a span and a metric. */
interface Shape {
  readonly span: string;
  readonly kind: keyof typeof SpanKind;
  readonly attributes: Attributes;
  readonly trace?: TraceParent | undefined;
  readonly links?: readonly TraceParent[];
}

/** An operation that has begun. */
interface Begun {
  readonly at: number;
  readonly span: Span | undefined;
}

type Shapes = { readonly [Name in ChannelName]: (message: ChannelMessages[Name]) => Shape };

const SHAPES: Shapes = {
  command: (message) => commandShape(message, 'INTERNAL'),
  clientCommand: (message) => commandShape(message, 'CLIENT'),
  commit: ({ log, durable, updates, first, last, bytes }) => ({
    span: 'commit',
    kind: 'INTERNAL',
    attributes: own({ log, durable, updates, first, last, bytes }),
  }),
  delivery: ({ log, follower, kind, updates, through, traces }) => ({
    span: `${kind === 'resync' ? 'resync' : 'deliver'} ${follower}`,
    kind: follower === 'index' ? 'INTERNAL' : follower === 'broadcaster' ? 'PRODUCER' : 'CLIENT',
    attributes: own({ log, follower, updates, through }),
    links: traces,
  }),
  connect: ({ log, follower, attempt }) => ({
    span: `connect ${follower}`,
    kind: 'CLIENT',
    attributes: own({ log, follower, attempt }),
  }),
  clientConnect: ({ target, attempt }) => ({ span: 'connect', kind: 'CLIENT', attributes: own({ target, attempt }) }),
};

function commandShape(message: ChannelMessages['command' | 'clientCommand'], kind: Shape['kind']): Shape {
  const { namespace, trace } = message;
  const operation = operationOf(message);
  const span = namespace === undefined ? operation : `${operation} ${namespace}`;
  return { span, kind, attributes: attributesOf(message), trace };
}

/** Returns attributes of this package's own, with its prefix. */
function own(attributes: { readonly [name: string]: string | number | boolean }): Attributes {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`agent_context_cache.${name}`, value]));
}

function subscribersOf<N extends ChannelName>(run: Run, name: N): TracingChannelSubscribers<object> {
  const begun = new WeakMap<object, Begun>();
  const shape = SHAPES[name] as (message: ChannelMessages[N]) => Shape;
  const end = (message: object) => {
    const present = message as ChannelMessages[N];
    const start = begun.get(message);
    if (!present.done || start === undefined) return;
    begun.delete(message);
    run.end(name, present, start);
  };
  return {
    start: (message) => void begun.set(message, run.begin(shape(message as ChannelMessages[N]))),
    end,
    asyncStart: () => {},
    asyncEnd: end,
    error: () => {},
  };
}

/** One call of {@link startTelemetry}. */
class Run {
  readonly #api: Api;
  readonly #tracer: Tracer | undefined;
  readonly #instruments: Instruments | undefined;
  readonly #namespaces: boolean;
  readonly #now: () => number;

  constructor(api: Api, options: TelemetryOptions) {
    const { tracerProvider, meterProvider, spans, metrics, namespaces, clock = systemClock } = options;
    this.#api = api;
    this.#now = () => clock.elapsed?.() ?? clock.now();
    this.#namespaces = namespaces === true;
    if (spans !== false) this.#tracer = (tracerProvider ?? api.trace).getTracer(SYSTEM);
    if (metrics !== false) this.#instruments = instrumentsOf((meterProvider ?? api.metrics).getMeter(SYSTEM));
  }

  begin({ span, kind, attributes, trace, links = [] }: Shape): Begun {
    const at = this.#now();
    if (this.#tracer === undefined) return { at, span: undefined };
    const { context, SpanKind } = this.#api;
    const { parent, linked } = this.#parentOf(context.active(), trace);
    const all = [...linked, ...links.map((each) => ({ context: this.#contextOf(each) }))];
    const options = { kind: SpanKind[kind], attributes, links: all };
    return { at, span: this.#tracer.startSpan(span, options, parent) };
  }

  end<N extends ChannelName>(name: N, message: ChannelMessages[N], { at, span }: Begun): void {
    const seconds = Math.max(0, this.#now() - at) / 1_000;
    const { code } = message;
    const isCommand = name === 'command' || name === 'clientCommand';
    if (span !== undefined) {
      span.setAttributes(isCommand ? outcomeOf(message as ChannelMessages['command']) : errorOf(code));
      if (code !== undefined) span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: code });
      span.end();
    }
    if (this.#instruments === undefined) return;
    if (isCommand) {
      const attributes = metricAttributesOf(message as ChannelMessages['command'], this.#namespaces);
      this.#instruments.commands.record(seconds, attributes);
    } else {
      const { follower } = message as { readonly follower?: string };
      const attributes = { ...(follower === undefined ? {} : own({ follower })), ...errorOf(code) };
      this.#instruments[name as Exclude<ChannelName, 'command' | 'clientCommand'>].record(seconds, attributes);
    }
  }

  /** Returns the trace of the active span in the form of `meta`; an empty object if no span is active. */
  active(): { readonly [name: string]: string } {
    const { trace, context, isSpanContextValid } = this.#api;
    const span = trace.getSpan(context.active())?.spanContext();
    if (span === undefined || !isSpanContextValid(span)) return {};
    const flags = (span.traceFlags & 0xff).toString(16).padStart(2, '0');
    const traceparent = `00-${span.traceId}-${span.spanId}-${flags}`;
    const tracestate = span.traceState?.serialize();
    return tracestate ? { traceparent, tracestate } : { traceparent };
  }

  /**
   * Returns the context that a span begins in. A trace that the command names is continued, with a link to the span that is
   * active here. An active span of the same trace is the nearer parent.
   */
  #parentOf(active: Context, named: TraceParent | undefined): { readonly parent: Context; readonly linked: Link[] } {
    if (named === undefined) return { parent: active, linked: [] };
    const { trace } = this.#api;
    const remote = this.#contextOf(named);
    const here = trace.getSpanContext(active);
    if (here?.traceId === remote.traceId) return { parent: active, linked: [] };
    return { parent: trace.setSpanContext(active, remote), linked: here === undefined ? [] : [{ context: here }] };
  }

  /** The channels name only traces that are well formed. */
  #contextOf({ traceparent, tracestate }: TraceParent): SpanContext {
    const [, traceId = '', spanId = '', flags = '0'] = traceparent.split('-');
    const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
    return tracestate === undefined ? context : { ...context, traceState: this.#api.createTraceState(tracestate) };
  }
}

function errorOf(code: string | undefined): Attributes {
  return code === undefined ? {} : { [NAMES.errorType]: code };
}

type Instruments = { readonly [Name in 'commands' | 'commit' | 'delivery' | 'connect' | 'clientConnect']: Histogram };

function instrumentsOf(meter: Meter): Instruments {
  const histogram = (name: string, description: string) =>
    meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries: DURATION_BOUNDS } });
  return {
    commands: histogram(NAMES.duration, 'Duration of database client operations.'),
    commit: histogram('agent_context_cache.commit.duration', 'Duration of commits to the log.'),
    delivery: histogram('agent_context_cache.delivery.duration', 'Duration of deliveries of followers.'),
    connect: histogram('agent_context_cache.connect.duration', 'Duration of attempts of followers to connect.'),
    clientConnect: histogram(
      'agent_context_cache.client.connect.duration',
      'Duration of attempts of clients to connect.',
    ),
  };
}

function invalid(message: string): ContextCacheError {
  return new ContextCacheError('INVALID_OPTION', message);
}

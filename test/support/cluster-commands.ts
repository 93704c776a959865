import fc from 'fast-check';
import type { ClusterCommand, Command } from '../../src/cluster/machine/commands.ts';
import type { BatchOperation } from '../../src/core/command.ts';
import { UNTIMED } from '../../src/core/expiry.ts';
import type { OriginOptions } from '../../src/core/origin.ts';
import { Request } from '../../src/core/request.ts';
import { door } from './request.ts';

const names = fc.constantFrom('a', 'b', 'c');
const keys = fc.constantFrom('k', 'l', 'm', '__proto__', 'é');
const texts = fc.string({ unit: 'grapheme' });
const values = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.jsonValue(), texts);
const conditions = fc.oneof(
  fc.constant({}),
  fc.record({ ifVersion: fc.nat(5) }),
  fc.constant({ ifAbsent: true }),
  fc.constant({ ifPresent: true }),
);
const presence = fc.oneof(fc.constant({}), fc.record({ ifVersion: fc.nat(5) }), fc.constant({ ifPresent: true }));
const expiries = fc.oneof(
  fc.constant({}),
  fc.record({ ttl: fc.integer({ min: 1, max: 50 }) }),
  fc.record({ expiresAt: fc.oneof(fc.constant(null), fc.nat(2_000)) }),
);
const lasting = fc.oneof(fc.record({ ttl: fc.integer({ min: 1, max: 50 }) }), fc.record({ expiresAt: fc.nat(2_000) }));
const origins: fc.Arbitrary<OriginOptions> = fc.record(
  {
    agent: fc.constantFrom('planner', 'booker'),
    meta: fc.constant({ task: 't-1' }),
    operationId: fc.constantFrom('o-1', 'o-2'),
    basis: fc.constantFrom([], [{ namespace: 'a', key: 'k', version: 1 }, { position: 2 }]),
  },
  { requiredKeys: [] },
);
const steps: fc.Arbitrary<BatchOperation> = fc.oneof(
  fc
    .tuple(keys, values, expiries, conditions)
    .map(([key, value, ...given]) => ({ operation: 'set' as const, key, value, ...given[0], ...given[1] })),
  fc.tuple(keys, presence).map(([key, given]) => ({ operation: 'delete' as const, key, ...given })),
  fc
    .tuple(keys, lasting, presence)
    .map(([key, until, given]) => ({ operation: 'touch' as const, key, ...until, ...given })),
  fc.tuple(keys, fc.nat(5)).map(([key, ifVersion]) => ({
    ...{ operation: 'check' as const, key, ifVersion },
    ...(ifVersion === 0 ? {} : { onConflict: 'fail' as const }),
  })),
);

/** Any data command, with no instant yet. */
export const requests: fc.Arbitrary<Request> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(names, keys, values, origins, expiries, conditions)
      .map(([name, key, value, ...[from, until, given]]) =>
        door.set(UNTIMED, name, key, value, { ...from, ...until, ...given }),
      ),
  },
  { weight: 2, arbitrary: fc.tuple(names, keys, origins, presence).map(deleteOf) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(names, keys, origins, lasting, presence)
      .map(([name, key, ...given]) => door.touch(UNTIMED, name, key, Object.assign({}, ...given))),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(names, fc.constantFrom('n', 'k'), fc.integer({ min: -5, max: 5 }), origins, expiries)
      .map(([name, key, by, from, until]) => door.increment(UNTIMED, name, key, by, { ...from, ...until })),
  },
  fc
    .tuple(names, values, origins, expiries)
    .map(([name, value, from, until]) => door.append(UNTIMED, name, value, { ...from, ...until, prefix: 'p/' })),
  fc
    .tuple(names, fc.constantFrom('', 'k', 'p/'), origins)
    .map(([name, prefix, from]) => door.whole(UNTIMED, 'context.clear', name, { ...from, prefix })),
  fc.tuple(names, origins).map(([name, from]) => door.whole(UNTIMED, 'context.drop', name, from)),
  fc
    .tuple(names, fc.array(steps, { maxLength: 4 }), origins)
    .map(([name, all, from]) => door.batch(UNTIMED, name, all, from)),
);

function deleteOf([name, key, from, given]: [string, string, OriginOptions, object]): Request {
  return door.delete(UNTIMED, name, key, { ...from, ...given });
}

/** What a step of a retraction has of its own. */
const own = fc.record(
  {
    agent: fc.constant('planner'),
    meta: fc.constant({ $retraction: { position: 1 } }),
    basis: fc.constantFrom([], [{ namespace: 'a', key: 'k', version: 1 }]),
  },
  { requiredKeys: [] },
);

const transactions: fc.Arbitrary<Command> = fc
  .tuple(fc.array(fc.tuple(names, steps), { minLength: 1, maxLength: 4 }), fc.uuid(), own)
  .map(([all, operationId, added]) => ({
    type: 'transaction',
    parts: door
      .transaction(
        UNTIMED,
        all.map(([namespace, step]) => ({ ...step, namespace })),
        { operationId },
      )
      .map((part) => {
        const marked = (part.steps ?? []).map((step, index) => (index === 0 ? { ...step, ...added } : step));
        return Request.ofWhole('context.transaction', part.namespace, UNTIMED, part, marked);
      }),
  }));

/** Any command about the cluster. */
export const clusterCommands: fc.Arbitrary<ClusterCommand> = fc.oneof(
  fc.constant({ type: 'noop' as const }),
  fc.constant({ type: 'leave' as const }),
  fc.record({
    type: fc.constant('hello' as const),
    node: texts,
    version: texts,
    minProtocol: fc.nat(3),
    maxProtocol: fc.nat(3),
    predecessor: fc.option(texts),
  }),
  fc.record({ type: fc.constant('lease' as const), name: names, forMs: fc.nat(100) }),
  fc.record({ type: fc.constant('checkpoint' as const), name: names, position: fc.nat(100) }),
  fc.record({
    type: fc.constant('config' as const),
    name: names,
    value: fc.array(texts),
  }),
  fc.record({ type: fc.constant('protocol' as const), protocol: fc.nat(3) }),
  fc.record({ type: fc.constant('begin' as const), position: fc.nat(), time: fc.nat(), hash: fc.nat() }),
);

/** A data command or a transaction. */
export const dataCommands: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: requests },
  { weight: 1, arbitrary: transactions },
);

/** Any command. */
export const commands: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: dataCommands },
  { weight: 1, arbitrary: clusterCommands },
);

import { describe, expect, test } from 'vitest';
import { LIVE_MS, Machine, type Outcome, PROTOCOL_LEASE } from '../../src/cluster/machine/machine.ts';
import { encodeMessage } from '../../src/cluster/machine/message-encoder.ts';
import { SESSION_MS } from '../../src/cluster/machine/sessions.ts';
import { ContextCacheError } from '../../src/core/errors.ts';
import { UNTIMED } from '../../src/core/expiry.ts';
import { ModelReplica } from '../support/model-replica.ts';
import { door } from '../support/request.ts';
import { Driven, set } from './support/driven-machine.ts';

describe('the machine of a cluster', () => {
  test('applies the messages of a session once and in order', () => {
    const driven = new Driven();
    driven.hello('s');
    expect(driven.message('s', 3, [set('k', 3)]).turn).toBe('gap');
    expect(driven.message('s', 2, [set('k', 2)]).turn).toBe('applied');
    expect(driven.message('s', 2, [set('k', 4)]).turn).toBe('duplicate');
    expect(driven.message('s', 3, [set('k', 3)]).turn).toBe('applied');
    expect([driven.get('a', 'k'), driven.replica.position]).toEqual([3, 2]);
  });

  test('takes nothing from a session that has not said hello', () => {
    const driven = new Driven();
    expect(driven.message('s', 1, [set('k', 1)]).turn).toBe('gap');
    expect(driven.replica.position).toBe(0);
  });

  test('takes nothing from a session whose successor has said hello, applied or not', () => {
    const driven = new Driven();
    driven.hello('old');
    driven.hello('new', { predecessor: 'old' });
    driven.hello('newer', { predecessor: 'never heard of' });
    expect(driven.message('old', 2, [set('k', 1)]).turn).toBe('duplicate');
    expect(driven.hello('never heard of').turn).toBe('duplicate');
    expect(driven.replica.position).toBe(0);
  });

  test('takes nothing from a session that has said goodbye, which is no member any more', () => {
    const driven = new Driven();
    driven.hello('s');
    driven.hello('t');
    driven.send('s', set('k', 1), { type: 'leave' });
    const members = () => Array.from(driven.machine.sessions.live(driven.machine.time, LIVE_MS), ([id]) => id);
    expect([driven.get('a', 'k'), members()]).toEqual([1, ['t']]);
    expect(driven.send('s', set('k', 2)).turn).toBe('duplicate');
    expect([driven.get('a', 'k'), members()]).toEqual([1, ['t']]);
    const other = new Machine(driven.replica);
    other.restore(JSON.parse(JSON.stringify(driven.machine.stored())));
    expect(Array.from(other.sessions.live(other.time, LIVE_MS), ([id]) => id)).toEqual(['t']);
    driven.hello('u', { predecessor: 's' });
    expect(members()).toEqual(['t', 'u']);
  });

  test('forgets a session that has not spoken for 24 hours of the stream', () => {
    const driven = new Driven();
    driven.hello('quiet');
    driven.hello('other');
    driven.now += SESSION_MS;
    driven.send('other');
    expect(driven.machine.sessions.has('quiet')).toBe(true);
    driven.now += 1;
    driven.send('other');
    expect(driven.machine.sessions.has('quiet')).toBe(false);
    expect(driven.send('quiet', set('k', 1)).turn).toBe('gap');
  });

  test('has the time of the latest message, which never goes back', () => {
    const driven = new Driven();
    driven.hello('s');
    driven.now = 500;
    driven.send('s', set('k', 1, { ttl: 100 }));
    expect(driven.machine.time).toBe(1_000);
    expect(driven.replica.namespaces.get('a')?.entries.get('k')?.expiresAt).toBe(1_100);
  });

  test('removes what is due before a message, by deadline and name, also if it ignores the message', () => {
    const driven = new Driven();
    driven.hello('s');
    const of = (namespace: string, ttl: number) => door.set(UNTIMED, namespace, 'k', 1, { ttl });
    driven.send('s', of('b', 20), of('c', 10), of('a', 20));
    driven.now += 30;
    expect(driven.raw(Buffer.from('not a message')).turn).toBe('malformed');
    const expired = driven.replica.updates.filter(({ operation }) => operation === 'expire');
    expect(expired.map(({ namespace }) => namespace)).toEqual(['c', 'a', 'b']);
  });

  test('gives a lease to one session at a time, until it is over or returned', () => {
    const driven = new Driven();
    driven.hello('s');
    driven.hello('t');
    const take = (session: string, forMs = 100) => driven.send(session, { type: 'lease', name: 'mirror', forMs });
    const holder = () => driven.machine.leases.held('mirror', driven.machine.time)?.session;
    take('s');
    take('t');
    expect(holder()).toBe('s');
    driven.now += 60;
    take('s');
    driven.now += 60;
    take('t');
    expect(holder()).toBe('s');
    driven.now += 40;
    take('t');
    expect(holder()).toBe('t');
    take('t', 0);
    expect(holder()).toBeUndefined();
  });

  test('takes a checkpoint from the holder of the lease alone, and none that goes back', () => {
    const driven = new Driven();
    driven.hello('s');
    driven.hello('t');
    const checkpoint = (session: string, position: number) => {
      driven.send(session, { type: 'checkpoint', name: 'mirror', position });
      return driven.machine.leases.checkpointOf('mirror');
    };
    expect(checkpoint('s', 5)).toBe(0);
    driven.send('s', { type: 'lease', name: 'mirror', forMs: 100 });
    expect(checkpoint('s', 5)).toBe(5);
    expect(checkpoint('t', 9)).toBe(5);
    expect(checkpoint('s', 4)).toBe(5);
    driven.now += 101;
    expect(checkpoint('s', 9)).toBe(5);
  });

  const lease = { type: 'lease', name: PROTOCOL_LEASE, forMs: 10_000 } as const;
  const raise = (protocol: number) => ({ type: 'protocol', protocol }) as const;

  test('raises the protocol only if every live node understands it', () => {
    const driven = new Driven();
    driven.hello('s', { maxProtocol: 2 });
    driven.hello('old');
    driven.send('s', lease, raise(2));
    expect(driven.machine.protocol).toBe(1);
    driven.now += LIVE_MS + 1;
    driven.send('s', lease, raise(3));
    expect(driven.machine.protocol).toBe(1);
    driven.send('s', raise(2));
    expect(driven.machine.protocol).toBe(2);
    driven.send('s', raise(1));
    expect(driven.machine.protocol).toBe(2);
  });

  test('does not wait for a node whose successor understands the protocol, nor raise it over one that understands later ones alone', () => {
    const driven = new Driven();
    driven.hello('old');
    driven.hello('s', { maxProtocol: 2, predecessor: 'old' });
    driven.hello('newest', { minProtocol: 3, maxProtocol: 4 });
    driven.send('s', lease, raise(2));
    expect(driven.machine.protocol).toBe(1);
    driven.hello('again', { maxProtocol: 2, predecessor: 'newest' });
    driven.send('s', raise(2));
    expect(driven.machine.protocol).toBe(2);
  });

  test('raises the protocol for the holder of its lease alone, so not with a command that comes too late', () => {
    const driven = new Driven();
    driven.hello('s', { maxProtocol: 2 });
    driven.hello('t', { maxProtocol: 2 });
    driven.send('s', lease);
    driven.send('t', raise(2));
    expect(driven.machine.protocol).toBe(1);
    driven.now += lease.forMs;
    driven.send('s', raise(2));
    expect(driven.machine.protocol).toBe(1);
  });

  test('has the raised protocol from the next message on, also if the message had to be tried again, and stores it', () => {
    const driven = new Driven();
    driven.hello('s', { maxProtocol: 2 });
    driven.send('s', lease);
    const seen: number[] = [];
    const execute = driven.replica.execute.bind(driven.replica);
    driven.replica.execute = (request) => {
      seen.push(driven.machine.protocol);
      if (seen.length === 1) throw new ContextCacheError('LOG_UNAVAILABLE', 'The disk is full.');
      execute(request);
    };
    expect(() => driven.send('s', raise(2), set('k', 1))).toThrow(/disk is full/);
    driven.machine.resume();
    driven.send('s', set('k', 2));
    expect(seen).toEqual([1, 1, 2]);
    const other = new Machine(driven.replica);
    other.restore(JSON.parse(JSON.stringify(driven.machine.stored())));
    expect(other.protocol).toBe(2);
  });

  test('knows since when the stream has had no long silence', () => {
    const driven = new Driven();
    driven.hello('s');
    expect(driven.machine.steadySince).toBe(Number.NEGATIVE_INFINITY);
    driven.now += 20_000;
    driven.send('s');
    expect(driven.machine.steadySince).toBe(Number.NEGATIVE_INFINITY);
    driven.now += 20_001;
    driven.send('s');
    expect(driven.machine.steadySince).toBe(driven.now);
    const other = new Machine(new ModelReplica());
    other.restore({ ...driven.machine.stored(), time: 90_000 });
    expect(other.steadySince).toBe(90_000);
  });

  test('stops at a hole and at a format that it does not know, with nothing changed', () => {
    const driven = new Driven();
    driven.hello('s');
    const before = driven.machine.stored();
    const { bytes: data } = encodeMessage({ session: 's', counter: 2, seenSequence: 0, seenHash: 0 }, []);
    expect(() => driven.machine.apply({ sequence: 3, at: 2_000, data })).toThrow(/those between them are missing/);
    expect(() => driven.raw(Buffer.from([0x92, 0x01, 0x01]))).toThrow(/message of format 1/);
    expect(driven.machine.stored()).toEqual(before);
  });

  test('goes on with a message that could not be applied, from the command at which it stopped', () => {
    const driven = new Driven();
    driven.hello('s');
    const execute = driven.replica.execute.bind(driven.replica);
    let failures = 2;
    driven.replica.execute = (request) => {
      if (request.key === 'l' && failures > 0) {
        failures -= 1;
        throw new ContextCacheError('LOG_UNAVAILABLE', 'The disk is full.');
      }
      execute(request);
    };
    expect(() => driven.send('s', set('k', 1), set('l', 2), set('m', 3))).toThrow(/disk is full/);
    expect(() => driven.machine.resume()).toThrow(/disk is full/);
    expect(driven.machine.isStalled).toBe(true);
    expect(driven.machine.resume().turn).toBe('applied');
    expect(driven.replica.updates.map(({ key }) => key)).toEqual(['k', 'l', 'm']);
    const straight = new Driven();
    straight.hello('s');
    straight.send('s', set('k', 1), set('l', 2), set('m', 3));
    expect(driven.machine.stored()).toEqual(straight.machine.stored());
  });

  test('settles the commands of an own message without decoding it, unless the stream holds other bytes', () => {
    const outcomes: Outcome[] = [];
    const commands = [set('k', 1)];
    const { bytes } = encodeMessage({ session: 's', counter: 2, seenSequence: 0, seenHash: 0 }, commands);
    const own = { bytes, commands, settle: (_: number, outcome: Outcome) => void outcomes.push(outcome) };
    const replica = new ModelReplica();
    const machine = new Machine(replica, (_, counter) => (counter === 2 ? own : undefined));
    const hello = {
      type: 'hello',
      node: 'n',
      version: '1',
      minProtocol: 1,
      maxProtocol: 1,
      predecessor: null,
    } as const;
    const first = encodeMessage({ session: 's', counter: 1, seenSequence: 0, seenHash: 0 }, [hello]);
    machine.apply({ sequence: 1, at: 5, data: first.bytes });
    machine.apply({ sequence: 2, at: 5, data: Uint8Array.from(bytes) });
    expect(outcomes).toEqual([{ version: 1, position: 1, changed: true }]);
  });

  test('is stored and restored with everything that decides later messages', () => {
    const driven = new Driven();
    driven.hello('s');
    driven.send('s', { type: 'lease', name: 'mirror', forMs: 500 }, { type: 'config', name: 'topics', value: ['t'] });
    driven.send('s', { type: 'checkpoint', name: 'mirror', position: 3 });
    const stored = JSON.parse(JSON.stringify(driven.machine.stored()));
    const other = new Machine(new ModelReplica());
    other.restore(stored);
    expect(other.stored()).toEqual(driven.machine.stored());
    const next = encodeMessage({ session: 's', counter: 4, seenSequence: 0, seenHash: 0 }, [{ type: 'noop' }]);
    expect(other.apply({ sequence: 4, at: 2_000, data: next.bytes }).turn).toBe('applied');
    const elsewhere = new ModelReplica();
    elsewhere.position = 9;
    expect(() => new Machine(elsewhere).restore(stored)).toThrow(/belongs to position 0/);
  });

  test('continues another stream only from the state that it begins with', () => {
    const driven = new Driven();
    driven.hello('s');
    expect(() => driven.send('s', { type: 'begin', position: 7, time: 9_000, hash: 5 })).toThrow(
      /continues from position 7/,
    );
    const matching = new Driven();
    matching.replica.position = 7;
    matching.machine.restore(matching.machine.stored());
    matching.hello('s');
    matching.send('s', { type: 'begin', position: 7, time: 9_000, hash: 5 });
    expect(matching.machine.time).toBe(9_000);
    // What expires with the message was there in the snapshot, and the position is that before.
    const expiring = new Driven();
    expiring.machine.restore(expiring.machine.stored());
    expiring.hello('s');
    expiring.send('s', set('k', 1, { ttl: 1 }));
    const { position } = expiring.replica;
    expiring.now += 1_000;
    expiring.send('s', { type: 'begin', position, time: 9_000, hash: 5 });
    expect(expiring.replica.position).toBe(position + 1);
    // A state without updates has settings and a protocol.
    const empty = new Driven();
    empty.hello('s');
    expect(() => empty.send('s', { type: 'begin', position: 0, time: 9_000, hash: 5 })).toThrow(
      expect.objectContaining({
        code: 'POSITION_UNAVAILABLE',
        message: expect.stringMatching(/without the state that belongs to it/),
      }),
    );
  });
});

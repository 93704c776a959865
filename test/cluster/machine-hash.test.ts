import { describe, expect, test } from 'vitest';
import type { Command } from '../../src/cluster/machine/commands.ts';
import type { StoredLease } from '../../src/cluster/machine/leases.ts';
import { PROTOCOL_LEASE } from '../../src/cluster/machine/machine.ts';
import { encodeMessage } from '../../src/cluster/machine/message-encoder.ts';
import type { StoredSession } from '../../src/cluster/machine/sessions.ts';
import { UNTIMED } from '../../src/core/expiry.ts';
import { door } from '../support/request.ts';
import { Driven, set } from './support/driven-machine.ts';

describe('the machine of a cluster', () => {
  test('is voted out if more disagree with it than agree, itself counted', () => {
    const driven = new Driven();
    for (const session of ['s', 't', 'u']) driven.hello(session);
    const { sequence: seenSequence, hash } = driven.machine;
    const say = (session: string, seenHash: number) =>
      driven.message(session, 2, [{ type: 'noop' }], { seenSequence, seenHash });
    const isOut = () => driven.machine.votes.isVotedOut('own', driven.machine.time);
    say('s', hash + 1);
    expect(isOut()).toBe(false);
    say('t', hash + 1);
    expect(isOut()).toBe(true);
    say('u', hash);
    expect(isOut()).toBe(false);
    driven.now += 3_001;
    driven.raw(Buffer.alloc(0));
    expect(driven.machine.votes.opinion('own', driven.machine.time)).toEqual({ agree: 0, disagree: 0 });
  });

  test('comes to another hash after another message, another decision or another order', () => {
    const hashOf = (...commands: Command[]) => {
      const driven = new Driven();
      driven.hello('s');
      for (const command of commands) driven.send('s', command);
      return driven.machine.hash;
    };
    const hashes = [hashOf(set('k', 1)), hashOf(set('k', 2)), hashOf(set('k', 1, { ifVersion: 7 }))];
    hashes.push(hashOf(set('k', 1), set('l', 1)), hashOf(set('l', 1), set('k', 1)));
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hashOf(set('k', 1))).toBe(hashes[0]);
  });

  test('comes to another hash if it has decided otherwise about the protocol, at once and later', () => {
    const raise = [
      { type: 'lease', name: PROTOCOL_LEASE, forMs: 10_000 },
      { type: 'protocol', protocol: 2 },
    ] as const;
    const start = new Driven();
    start.hello('s', { maxProtocol: 2 });
    start.hello('t', { maxProtocol: 2 });
    const stored = start.machine.stored();
    const reach = (change: Partial<typeof stored>, ...commands: Command[]) => {
      const driven = new Driven();
      driven.machine.restore({ ...stored, ...change });
      driven.message('s', 2, commands);
      return [driven.machine.protocol, driven.machine.hash];
    };
    const [s, [id, counter, at, seen, node, version]] = stored.sessions as [StoredSession, StoredSession];
    const sessions = [s, [id, counter, at, seen, node, version, 1, 1] as const];
    expect([reach({}, ...raise)[0], reach({ sessions }, ...raise)[0]]).toEqual([2, 1]);
    expect(reach({}, ...raise)[1]).not.toBe(reach({ sessions }, ...raise)[1]);
    expect(reach({}, { type: 'noop' })[1]).not.toBe(reach({ protocol: 2 }, { type: 'noop' })[1]);
  });

  test('comes to another hash if it has decided otherwise about a lease, a checkpoint or a part of a transaction', () => {
    const start = new Driven();
    start.hello('s');
    start.hello('t');
    start.send('t', { type: 'lease', name: 'mirror', forMs: 100 });
    const stored = start.machine.stored();
    const hashOf = (change: Partial<typeof stored>, ...commands: Command[]) => {
      const driven = new Driven();
      driven.machine.restore({ ...stored, ...change });
      driven.message('t', 3, commands);
      return driven.machine.hash;
    };
    const [[name, session, until]] = stored.leases as [StoredLease];
    const other: Partial<typeof stored> = { leases: [[name, 's', until]] };
    const longer: Partial<typeof stored> = { leases: [[name, 's', until + 1]] };
    const lease = { type: 'lease', name, forMs: 100 } as const;
    const checkpoint = { type: 'checkpoint', name, position: 0 } as const;
    expect(session).toBe('t');
    expect(hashOf({}, lease)).not.toBe(hashOf(other, lease));
    expect(hashOf(other, lease)).not.toBe(hashOf(longer, lease));
    expect(hashOf({}, checkpoint)).not.toBe(hashOf(other, checkpoint));
    expect(hashOf({}, checkpoint)).not.toBe(hashOf({ checkpoints: [[name, 1]] }, checkpoint));

    const transacted = (isFlipped: boolean) => {
      const driven = new Driven();
      driven.hello('s');
      driven.send('s', set('k', 1));
      const state = driven.replica.namespaces.get('a');
      if (isFlipped && state !== undefined) state.version ^= 4;
      const operations = [{ operation: 'set', namespace: 'a', key: 'k', value: 2 }] as const;
      driven.send('s', { type: 'transaction', parts: door.transaction(UNTIMED, operations, {}) });
      return driven.machine.hash;
    };
    expect(transacted(true)).not.toBe(transacted(false));
  });

  test('has the hash that docs/formats.md describes', () => {
    let hash = 0;
    const add = (n: number) => {
      const product = (BigInt((hash ^ n) >>> 0) * 0x9e3779b1n) % 2n ** 32n;
      hash = Number(product ^ (product >> 15n));
    };
    const driven = new Driven();
    const send = (counter: number, before: number, commands: Command[], ...decided: number[]) => {
      const { bytes } = encodeMessage({ session: 's', counter, seenSequence: 0, seenHash: 0 }, commands);
      driven.raw(bytes);
      for (const n of [before, bytes.readUInt32BE(bytes.length - 4), ...decided, 1]) add(n);
      expect(driven.machine.hash).toBe(hash);
    };
    const protocols = { minProtocol: 1, maxProtocol: 1, predecessor: null };
    send(1, 0, [{ type: 'hello', node: 's', version: '1', ...protocols }], ...[2, 1, 0]);
    send(2, 0, [set('k', 1), set('k', 2, { ifVersion: 7 })], ...[2, 1, 1], ...[1, 1]);
    const mirror = { type: 'lease', name: 'mirror', forMs: 100 } as const;
    send(3, 1, [mirror, { type: 'checkpoint', name: 'other', position: 1 }], ...[2, 1, 1_100, 1], ...[2, 0, 1]);
    driven.raw(Buffer.from('no message'));
    for (const n of [1, 1]) add(n);
    expect(driven.machine.hash).toBe(hash);
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Command } from '../../src/cluster/machine/commands.ts';
import { Machine } from '../../src/cluster/machine/machine.ts';
import { encodeMessage } from '../../src/cluster/machine/message-encoder.ts';
import { EngineReplica } from '../../src/cluster/open/engine-replica.ts';
import { INTERNALS } from '../../src/engine/internals.ts';
import type { Sequencer } from '../../src/engine/sequencer.ts';
import { memoryStorage } from '../../src/engine/storage.ts';
import { AgentContextCache } from '../../src/index.ts';
import { commands, dataCommands } from '../support/cluster-commands.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ModelReplica } from '../support/model-replica.ts';
import { fcOptions } from '../support/property.ts';

/** A sequencer of a cache that is driven by hand: nothing may ask it. */
const unasked = new Proxy({} as Sequencer, {
  get: (_, name) => {
    throw new Error(`The sequencer was asked for ${String(name)}.`);
  },
});

const messages = fc.array(
  fc.record({
    afterMs: fc.nat(40),
    all: fc.array(fc.oneof({ weight: 9, arbitrary: dataCommands }, { weight: 1, arbitrary: commands }), {
      maxLength: 5,
    }),
  }),
  { maxLength: 12 },
);

/** A `begin` is for an empty machine alone, and stops any other. */
const isMiddle = (command: Command) => command.type !== 'begin';

test('an engine that applies the messages of a stream comes to what the rules say', async () => {
  await fc.assert(
    fc.asyncProperty(messages, async (given) => {
      const clock = new ManualClock();
      const options = { clock, natsUrl: null, sequencer: unasked, onError: () => {} };
      const cache = await AgentContextCache.over(options, memoryStorage(options));
      const { parts } = cache[INTERNALS];
      const engine = new Machine(new EngineReplica(parts));
      const model = new ModelReplica();
      const rules = new Machine(model);
      let at = 1_000;
      for (const [index, { afterMs, all }] of given.entries()) {
        at += afterMs;
        clock.advance(afterMs);
        const hello = {
          type: 'hello',
          node: 'n',
          version: '1',
          minProtocol: 1,
          maxProtocol: 1,
          predecessor: null,
        } as const;
        const sent: Command[] = index === 0 ? [hello, ...all.filter(isMiddle)] : all.filter(isMiddle);
        const heading = { session: 's', counter: index + 1, seenSequence: 0, seenHash: 0 };
        const { bytes: data } = encodeMessage(heading, sent);
        for (const machine of [engine, rules]) machine.apply({ sequence: index + 1, at, data });
        expect(engine.stored()).toEqual(rules.stored());
      }
      const present = [...parts.registry.records()].map(({ name, state }) => {
        return [name, state.version, state.position, [...state.entries]] as const;
      });
      const held = present.filter(([, version]) => version > 0).sort(([a], [b]) => (a < b ? -1 : 1));
      expect(held).toEqual(model.content());
    }),
    fcOptions(60),
  );
});

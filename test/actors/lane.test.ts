import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AgentContextCache, type DataCommand, type Entry, InMemoryContextCache, type Update } from '../../src/index.ts';
import { anyStep, logOf, simulatedClock } from '../support/cache.ts';
import { fcOptions } from '../support/property.ts';

// Without the lane the supervisor's machine creates actors within an action. XState's development build warns of that.
beforeAll(() => void vi.spyOn(console, 'warn').mockImplementation(() => {}));
afterAll(() => void vi.restoreAllMocks());

interface Run {
  readonly answers: unknown[];
  readonly log: Update[];
  readonly entries: Entry[][];
  readonly namespaces: string[];
  readonly failures: string[];
}

const NAMESPACES = ['n', 'm', '__proto__', 'a:b', 'default'];

/** Runs the steps with `ask`, or with `send`, and returns everything that can be observed. */
async function run(
  steps: readonly (object & ({ wait: number } | DataCommand))[],
  options: { lane: boolean; bySend?: boolean; primary?: boolean },
): Promise<Run> {
  const clock = simulatedClock();
  const failures: string[] = [];
  const cache = new AgentContextCache({
    clock,
    internals: { lane: options.lane },
    ...(options.primary ? { primaryCache: new InMemoryContextCache() } : {}),
    onError: (error, source) =>
      void failures.push(`${source.source} ${source.command} ${source.namespace} ${error.message}`),
  });
  const answers: unknown[] = [];
  for (const step of steps) {
    if ('wait' in step) clock.increment(step.wait);
    else if (options.bySend) cache.supervisor.send(step);
    else
      answers.push(
        await cache
          .ask(step)
          .catch((error) => ({ name: error.name, code: error.code, message: error.message, current: error.current })),
      );
  }
  const log = await logOf(cache);
  const entries = NAMESPACES.map((name) => cache.entries(name));
  const namespaces = cache.listNamespaces();
  await cache.shutdown();
  return { answers, log, entries, namespaces, failures };
}

describe('the command lane', () => {
  const steps = fc.array(anyStep, { maxLength: 40 }) as fc.Arbitrary<({ wait: number } | DataCommand)[]>;

  it('gives the same updates, answers, errors and entries as the machine', async () => {
    let updates = 0;
    let conflicts = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (some) => {
        const lane = await run(some, { lane: true });
        const machine = await run(some, { lane: false });
        expect(lane).toEqual(machine);
        updates += lane.log.length;
        conflicts += lane.answers.filter((answer) => (answer as { code?: string }).code === 'VERSION_CONFLICT').length;
      }),
      fcOptions(150),
    );
    // The runs contain updates and conflicts.
    expect(updates).toBeGreaterThan(100);
    expect(conflicts).toBeGreaterThan(10);
  });

  it('gives the same for commands that are sent, whose refusals reach onError', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (some) => {
        const lane = await run(some, { lane: true, bySend: true });
        const machine = await run(some, { lane: false, bySend: true });
        const asked = await run(some, { lane: true });
        expect(lane).toEqual(machine);
        expect(lane.log).toEqual(asked.log);
        expect(lane.entries).toEqual(asked.entries);
      }),
      fcOptions(80),
    );
  });

  it('gives the same over a synchronous primary, and the same as without one', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (some) => {
        const lane = await run(some, { lane: true, primary: true });
        const machine = await run(some, { lane: false, primary: true });
        const plain = await run(some, { lane: true });
        expect(lane).toEqual(machine);
        expect(lane.log).toEqual(plain.log);
        expect(lane.answers.map((answer) => ({ ...(answer as object), current: undefined }))).toEqual(
          plain.answers.map((answer) => ({ ...(answer as object), current: undefined })),
        );
        expect(lane.entries).toEqual(plain.entries);
      }),
      fcOptions(80),
    );
  });
});

import { checkHealed } from './checks.ts';
import { begin } from './scenario.ts';
import { type Sabotage, World } from './world.ts';

/** The result of a simulated run. */
export interface Simulated {
  /** The hash of all events. */
  readonly trace: string;
  readonly events: number;
  readonly updates: number;
  readonly deaths: number;
}

/** Runs the world of a seed to its end. Rejects with the seed if anything is wrong. */
export async function simulate(seed: number, sabotage: Sabotage = {}): Promise<Simulated> {
  const world = new World(seed, sabotage);
  try {
    await begin(world);
    await checkHealed(world);
    world.assertWell();
  } catch (cause) {
    const repeat = `FAULT_SEED=${seed} npx vitest run --config vitest.faults.config.ts test/faults/simulation`;
    throw new Error(`Seed ${seed}: ${(cause as Error).message}\nRepeat it with ${repeat}\n${world.trace.last()}`, {
      cause,
    });
  }
  const { trace, deaths, told } = world;
  return { trace: trace.digest(), events: trace.count, updates: told.length, deaths };
}

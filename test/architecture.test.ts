import { describe, expect, test } from 'vitest';
import { readSources, type Sources, type Violation } from './support/architecture.ts';
import {
  coreHasNoIo,
  filesAreShort,
  layers,
  MAX_LINES,
  machinesArePure,
  noCycles,
  optionalClientsAreLazy,
  timeComesThroughTheClock,
  typesAreHonest,
  xstateStaysInside,
} from './support/architecture-rules.ts';

/** Uses of time or chance outside of the clock port that stay, `path what`, each with its reason. */
const BROWSER = 'the port itself, of the page, which runs in a browser';
const ALLOWED: Readonly<Record<string, string>> = {
  'src/inspector/page/clock.ts Date.now': BROWSER,
  'src/inspector/page/clock.ts setTimeout': BROWSER,
  'src/inspector/page/clock.ts setInterval': BROWSER,
};

const product = readSources(['src', 'machines']);
const everything = new Map([...product, ...readSources(['test', 'examples', 'bench'])]);
/** Import rings that stay, and why. */
const ALLOWED_RINGS: Readonly<Record<string, string>> = {
  'src/cache/namespace-handle.ts → src/cache/agent-context-cache.ts':
    'the type only: a handle is the cache with one argument filled in',
  'src/cache/start-inspector.ts → src/cache/agent-context-cache.ts': 'the type only: what is shown',
  'src/cache/start-inspector.ts → src/inspector/server/inspector-server.ts':
    'loaded when somebody starts one; it uses the cache as any program does',
};
const withoutRings = (sources: Sources) => noCycles(sources, ALLOWED_RINGS);

const throughTheClock = (sources: Sources) => timeComesThroughTheClock(sources, ALLOWED);

/** A rule, the files it is about, and for each way to break it a file that does: `path`, then its text. */
interface Case {
  readonly name: string;
  readonly rule: (sources: Sources) => Violation[];
  readonly sources: Sources;
  readonly breaks: readonly (readonly [path: string, text: string])[];
  /** What looks like a violation and is none. */
  readonly keeps?: readonly (readonly [path: string, text: string])[];
}

const cases: readonly Case[] = [
  {
    name: 'imports point upward only',
    rule: layers,
    sources: product,
    breaks: [
      ['src/core/x.ts', "import { a } from '../log/a.ts';"],
      ['src/core/x.ts', "import type { A } from '../backends/a.ts';"],
      ['src/log/x.ts', "export { a } from '../actors/a.ts';"],
      ['src/log/x.ts', "const a = await import('../index.ts');"],
      ['src/backends/x.ts', "import '../backup/a.ts';"],
      ['src/broadcast/x.ts', "import { a } from '../backends/a.ts';"],
      ['src/backup/x.ts', "let a: import('../broadcast/a.ts').A;"],
      ['src/actors/x.ts', "import { a } from '../agent-context-cache.ts';"],
      ['src/actors/x.ts', "import { a } from '../cli/a.ts';"],
      ['src/cache/agent-context-cache.ts', "import { a } from './cli/a.ts';"],
      ['src/cli/x.ts', "import { a } from '../core/a.ts';"],
      ['src/cli/x.ts', "import { a } from '../agent-context-cache.ts';"],
      ['src/adapters/x.ts', "import { a } from '../cli/a.ts';"],
      ['src/inspector/x.ts', "import { a } from '../log/update-log.ts';"],
      ['src/testing/x.ts', "import { a } from '../log/memory-log.ts';"],
      ['machines/x.ts', "import type { A } from '../src/actors/a.ts';"],
      ['src/misc/x.ts', "import { a } from 'ms';"],
    ],
    keeps: [
      ['src/actors/x.ts', "import { a } from '../../machines/a.ts'; import b from '../backup/b.ts';"],
      ['src/cli/x.ts', "import { a } from '../index.ts'; import b from '../adapters/b.ts';"],
      ['src/testing/x.ts', "import type { A } from '../log/update-log.ts';"],
    ],
  },
  {
    name: 'a statechart takes XState, other statecharts and types',
    rule: machinesArePure,
    sources: product,
    breaks: [
      ['machines/x.ts', "import { apply } from '../src/core/apply.ts';"],
      ['machines/x.ts', "import { type Update } from '../src/core/update.ts';"],
      ['machines/x.ts', "import ms from 'ms';"],
      ['machines/x.ts', "import type { Redis } from 'ioredis';"],
    ],
    keeps: [['machines/x.ts', "import { setup } from 'xstate'; import type { Update } from '../src/core/update.ts';"]],
  },
  {
    name: 'XState stays behind actors and machines',
    rule: xstateStaysInside,
    sources: product,
    breaks: [
      ['src/log/x.ts', "import { createActor } from 'xstate';"],
      ['src/cli/x.ts', "import type { Actor } from 'xstate';"],
    ],
  },
  {
    name: 'the core and the statecharts have no input or output',
    rule: coreHasNoIo,
    sources: product,
    breaks: [
      ['src/core/x.ts', "import { readFileSync } from 'node:fs';"],
      ['src/core/x.ts', "import { randomUUID } from 'node:crypto';"],
      ['src/core/x.ts', "import { hash, randomBytes } from 'node:crypto';"],
      ['machines/x.ts', "import { setTimeout } from 'node:timers/promises';"],
    ],
    keeps: [
      ['src/core/x.ts', "import { Buffer } from 'node:buffer';"],
      ['src/core/x.ts', "import { createHash, hash } from 'node:crypto';"],
      ['src/log/x.ts', "import { readFileSync } from 'node:fs';"],
    ],
  },
  {
    name: 'optional clients are loaded only when they are used',
    rule: optionalClientsAreLazy,
    sources: product,
    breaks: [
      ['src/backends/x.ts', "import { Redis } from 'ioredis';"],
      ['src/backends/x.ts', "import { type Redis } from 'ioredis';"],
      ['src/log/x.ts', "export { ClassicLevel } from 'classic-level';"],
      ['src/broadcast/x.ts', "import '@nats-io/transport-node';"],
    ],
    keeps: [
      ['src/backends/x.ts', "import type { Redis } from 'ioredis'; const { Redis: R } = await import('ioredis');"],
    ],
  },
  {
    name: 'no files import each other in a ring',
    rule: withoutRings,
    sources: product,
    breaks: [
      ['src/core/clock.ts', "import type { Clock } from './clock.ts';"],
      ['src/core/errors.ts', "import { checkName } from './names.ts'; // which imports errors.ts"],
    ],
  },
  {
    name: 'time and chance come in through the clock',
    rule: throughTheClock,
    sources: product,
    breaks: [
      ['src/actors/x.ts', 'const now = Date.now();'],
      ['src/actors/x.ts', 'const now = Date.now;'],
      ['src/actors/x.ts', 'const now = new Date();'],
      ['src/cli/x.ts', 'const n = Math.random();'],
      ['src/log/x.ts', 'setTimeout(() => {}, 1);'],
      ['src/log/x.ts', 'globalThis.setTimeout(() => {}, 1);'],
      ['src/log/x.ts', 'const timer = { start: setInterval };'],
      ['src/log/x.ts', "import { setTimeout } from 'node:timers/promises';"],
      ['src/backup/x.ts', 'const signal = AbortSignal.timeout(1);'],
      ['src/core/x.ts', 'const home = process.env.HOME;'],
      ['src/core/x.ts', 'const id = crypto.randomUUID();'],
      ['machines/x.ts', 'const at = performance.now();'],
    ],
    keeps: [
      ['src/log/x.ts', 'clock.setTimeout(() => {}, 1); const at = new Date(clock.now());'],
      ['src/log/x.ts', 'class Fake { setTimeout() {} } // Date.now() in a comment'],
    ],
  },
  {
    name: `no file has more than ${MAX_LINES} lines`,
    rule: filesAreShort,
    sources: everything,
    breaks: [['src/core/x.ts', `${'// more\n'.repeat(MAX_LINES)}export {};`]],
  },
  {
    name: 'no any without a reason, and nothing that silences the compiler',
    rule: typesAreHonest,
    sources: everything,
    breaks: [
      ['src/core/x.ts', 'let a: any;'],
      ['src/core/x.ts', '// biome-ignore lint/suspicious/noExplicitAny:\nlet a: any;'],
      ['test/x.ts', 'const a = b as any;'],
      ['src/core/x.ts', ' // @ts-expect-error: no\n a();'],
    ],
    keeps: [
      ['src/core/x.ts', "const any = 'any'; // any"],
      ['src/core/x.ts', '// biome-ignore lint/suspicious/noExplicitAny: the library says so\nlet a: any;'],
    ],
  },
];

describe.each(cases)('$name', ({ rule, sources, breaks, keeps = [] }) => {
  test('in this project', () => {
    expect(sources.size).toBeGreaterThan(10);
    expect(rule(sources)).toEqual([]);
  });

  for (const [path, text] of breaks) {
    test(`and it is noticed where ${path} says: ${firstLine(text)}`, () => {
      const before = new Set(rule(sources));
      const planted = rule(new Map([...sources, [path, text]])).filter((violation) => !before.has(violation));
      expect(planted).not.toEqual([]);
      expect(planted.join()).toContain(path);
    });
  }

  for (const [path, text] of keeps) {
    test(`and it allows that ${path} says: ${firstLine(text)}`, () => {
      expect(rule(new Map([[path, text]]))).toEqual([]);
    });
  }
});

function firstLine(text: string): string {
  return text.trimStart().split('\n', 1).join();
}

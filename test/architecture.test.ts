import { describe, expect, test } from 'vitest';
import { readSources, type Sources, type Violation } from './support/architecture.ts';
import { layers } from './support/architecture-layers.ts';
import {
  coreHasNoIo,
  filesAreShort,
  MAX_LINES,
  machinesArePure,
  noCycles,
  optionalClientsAreLazy,
  timeComesThroughTheClock,
  typesAreHonest,
  xstateStaysInside,
} from './support/architecture-rules.ts';

/** Uses of time or chance outside the clock port, `path what`, each with its reason. */
const BROWSER = 'the port itself, of the page, which runs in a browser';
const ALLOWED: Readonly<Record<string, string>> = {
  'src/inspector/page/clock.ts Date.now': BROWSER,
  'src/inspector/page/clock.ts setTimeout': BROWSER,
  'src/inspector/page/clock.ts setInterval': BROWSER,
  'src/core/time-slice.ts setImmediate': 'gives up its turn; no result depends on when it comes back',
};

const product = readSources(['src', 'machines']);
const everything = new Map([...product, ...readSources(['test', 'examples', 'bench'])]);
const throughTheClock = (sources: Sources) => timeComesThroughTheClock(sources, ALLOWED);

/** A rule with the files that it covers, and planted files that break it: a path, then the text. */
interface Case {
  readonly name: string;
  readonly rule: (sources: Sources) => Violation[];
  readonly sources: Sources;
  readonly breaks: readonly (readonly [path: string, text: string])[];
  /** True if the rule needs all files together; a planted file is then added to them. */
  readonly whole?: boolean;
  /** Planted files that resemble a violation and are accepted. */
  readonly keeps?: readonly (readonly [path: string, text: string])[];
}

const cases: readonly Case[] = [
  {
    name: 'imports point down the layers',
    rule: layers,
    sources: product,
    breaks: [
      ['src/core/x.ts', "import { a } from '../storage/a.ts';"],
      ['src/core/tables/x.ts', "import type { A } from '../../backends/a.ts';"],
      ['src/wire/x.ts', "import { a } from '../index.ts';"],
      ['src/wire/x.ts', "import type { A } from '../cache/a.ts';"],
      ['src/storage/x.ts', "export { a } from '../actors/a.ts';"],
      ['src/storage/x.ts', "import type { A } from './memory/a.ts';"],
      ['src/storage/x.ts', "const a = await import('./disk/a.ts');"],
      ['src/storage/memory/x.ts', "import { a } from '../disk/log/a.ts';"],
      ['src/storage/disk/log/x.ts', "import type { A } from '../../memory/a.ts';"],
      ['src/backends/x.ts', "import '../followers/backup/a.ts';"],
      ['src/backends/x.ts', "import { a } from './redis/a.ts';"],
      ['src/followers/x.ts', "import { a } from './mirror/a.ts';"],
      ['src/followers/broadcast/x.ts', "import { a } from '../../backends/a.ts';"],
      ['src/followers/backup/x.ts', "let a: import('../broadcast/a.ts').A;"],
      ['src/followers/mirror/x.ts', "import { a } from '../../engine/a.ts';"],
      ['src/actors/x.ts', "import { a } from '../followers/a.ts';"],
      ['src/actors/x.ts', "import { a } from '../cli/a.ts';"],
      ['src/engine/x.ts', "import type { A } from '../cache/a.ts';"],
      ['src/engine/x.ts', "import { a } from '../past/a.ts';"],
      ['src/past/x.ts', "import { a } from '../verify/a.ts';"],
      ['src/verify/disk/x.ts', "import { a } from '../verify.ts';"],
      ['src/verify/x.ts', "import { a } from '../replay/a.ts';"],
      ['src/replay/x.ts', "import { a } from '../cache/a.ts';"],
      ['src/inspector/x.ts', "import { a } from '../storage/a.ts';"],
      ['src/inspector/x.ts', "import type { A } from './reads/a.ts';"],
      ['src/inspector/reads/x.ts', "import type { A } from '../../index.ts';"],
      ['src/inspector/reads/x.ts', "import { a } from '../../past/a.ts';"],
      ['src/inspector/reads/x.ts', "import type { A } from '../feeds/a.ts';"],
      ['src/inspector/feeds/x.ts', "import type { A } from '../server/a.ts';"],
      ['src/inspector/server/x.ts', "import type { A } from '../../cache/a.ts';"],
      ['src/inspector/server/x.ts', "import { a } from '../page/a.ts';"],
      ['src/inspector/page/views/x.tsx', "import { a } from '../../../core/a.ts';"],
      ['src/inspector/page/x.ts', "import type { A } from '../reads/a.ts';"],
      ['src/cache/x.ts', "import { a } from '../inspector/server/a.ts';"],
      ['src/cache/x.ts', "import { a } from '../inspector/inspectable.ts';"],
      ['src/cache/x.ts', "import { a } from '../cli/a.ts';"],
      ['src/cache/x.ts', "import { a } from '../index.ts';"],
      ['src/testing/x.ts', "import { a } from '../storage/memory/a.ts';"],
      ['src/index.ts', "import { a } from './serve/a.ts';"],
      ['src/index.ts', "import { a } from './inspector/server/a.ts';"],
      ['src/serve/x.ts', "import { a } from '../actors/a.ts';"],
      ['src/serve/x.ts', "import { a } from '../cli/a.ts';"],
      ['src/integrations/x.ts', "import type { A } from '../cache/a.ts';"],
      ['src/integrations/x.ts', "import { a } from '../wire/a.ts';"],
      ['src/cli/x.ts', "import { a } from '../core/a.ts';"],
      ['src/cli/commands/x.ts', "import type { A } from '../../cache/agent-context-cache.ts';"],
      ['machines/x.ts', "import type { A } from '../src/actors/a.ts';"],
      ['src/misc/x.ts', "import { a } from 'ms';"],
    ],
    keeps: [
      ['src/storage/disk/x.ts', "import { a } from '../update-log.ts'; import b from '../../core/b.ts';"],
      ['src/actors/x.ts', "import { a } from '../../machines/a.ts'; import b from '../storage/b.ts';"],
      ['src/inspector/server/x.ts', "import { a } from '../reads/a.ts'; import type { B } from '../../past/b.ts';"],
      ['src/cache/x.ts', "import type { A } from '../inspector/a.ts'; await import('../inspector/server/a.ts');"],
      ['src/cli/x.ts', "import { a } from '../index.ts'; import b from '../serve/b.ts';"],
      ['src/testing/x.ts', "import type { A } from '../storage/update-log.ts';"],
      ['src/backup.ts', "export { a } from './followers/backup/a.ts';"],
    ],
  },
  {
    name: 'a statechart imports XState, other statecharts and types',
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
      ['src/storage/x.ts', "import { createActor } from 'xstate';"],
      ['src/cache/x.ts', "import { createActor } from 'xstate';"],
      ['src/cli/x.ts', "import type { Actor } from 'xstate';"],
    ],
    keeps: [['src/cache/x.ts', "import type { ActorRefFrom } from 'xstate';"]],
  },
  {
    name: 'the core and the statecharts have no input or output',
    rule: coreHasNoIo,
    sources: product,
    breaks: [
      ['src/core/x.ts', "import { readFileSync } from 'node:fs';"],
      ['src/core/x.ts', "import { randomUUID } from 'node:crypto';"],
      ['src/core/x.ts', "import { hash, randomBytes } from 'node:crypto';"],
      ['src/core/x.ts', "import { setImmediate as nextTurn } from 'node:timers/promises';"],
      ['src/core/time-slice.ts', "import { setTimeout } from 'node:timers/promises';"],
      ['machines/x.ts', "import { setTimeout } from 'node:timers/promises';"],
    ],
    keeps: [
      ['src/core/x.ts', "import { Buffer } from 'node:buffer';"],
      ['src/core/x.ts', "import { createHash, hash } from 'node:crypto';"],
      ['src/storage/x.ts', "import { readFileSync } from 'node:fs';"],
    ],
  },
  {
    name: 'optional clients are loaded when they are used',
    rule: optionalClientsAreLazy,
    sources: product,
    breaks: [
      ['src/backends/x.ts', "import { Redis } from 'ioredis';"],
      ['src/backends/x.ts', "import { type Redis } from 'ioredis';"],
      ['src/storage/x.ts', "export { ClassicLevel } from 'classic-level';"],
      ['src/followers/broadcast/x.ts', "import '@nats-io/transport-node';"],
      ['src/integrations/x.ts', "import { trace } from '@opentelemetry/api';"],
    ],
    keeps: [
      ['src/backends/x.ts', "import type { Redis } from 'ioredis'; const { Redis: R } = await import('ioredis');"],
    ],
  },
  {
    name: 'no files import each other in a ring',
    rule: noCycles,
    sources: product,
    whole: true,
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
      ['src/storage/x.ts', 'setTimeout(() => {}, 1);'],
      ['src/storage/x.ts', 'globalThis.setTimeout(() => {}, 1);'],
      ['src/storage/x.ts', 'const timer = { start: setInterval };'],
      ['src/storage/x.ts', "import { setTimeout } from 'node:timers/promises';"],
      ['src/followers/backup/x.ts', 'const signal = AbortSignal.timeout(1);'],
      ['src/core/x.ts', 'const home = process.env.HOME;'],
      ['src/core/x.ts', 'const id = crypto.randomUUID();'],
      ['machines/x.ts', 'const at = performance.now();'],
    ],
    keeps: [
      ['src/storage/x.ts', 'clock.setTimeout(() => {}, 1); const at = new Date(clock.now());'],
      ['src/storage/x.ts', 'class Fake { setTimeout() {} } // Date.now() in a comment'],
    ],
  },
  {
    name: `no file has more than ${MAX_LINES} lines`,
    rule: filesAreShort,
    sources: everything,
    breaks: [
      ['src/core/x.ts', `${'// more\n'.repeat(MAX_LINES)}export {};`],
      ['src/cache/agent-context-cache.ts', `${'// more\n'.repeat(2 * MAX_LINES)}export {};`],
    ],
    keeps: [['src/cache/agent-context-cache.ts', `${'// more\n'.repeat(MAX_LINES)}export {};`]],
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

describe.each(cases)('$name', ({ rule, sources, breaks, keeps = [], whole = false }) => {
  test('holds in this project', () => {
    expect(sources.size).toBeGreaterThan(10);
    expect(rule(sources)).toEqual([]);
  });

  for (const [path, text] of breaks) {
    test(`reports ${path}: ${firstLine(text)}`, () => {
      const before = new Set(whole ? rule(sources) : []);
      const found = rule(new Map([...(whole ? sources : []), [path, text]]));
      const planted = found.filter((violation) => !before.has(violation));
      expect(planted).not.toEqual([]);
      expect(planted.join()).toContain(path);
    });
  }

  for (const [path, text] of keeps) {
    test(`accepts ${path}: ${firstLine(text)}`, () => {
      expect(rule(new Map([[path, text]]))).toEqual([]);
    });
  }
});

function firstLine(text: string): string {
  return text.trimStart().split('\n', 1).join();
}

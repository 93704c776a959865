import ts from 'typescript';
import { importsOf, parse, place, type Sources, type Violation, visit } from './architecture.ts';
import { isOurs, layerOf } from './architecture-layers.ts';

/** Reports what a statechart imports besides XState, other statecharts and types. */
export function machinesArePure(sources: Sources): Violation[] {
  return eachImport(sources, (path, target, kind) => {
    if (layerOf(path) !== 'machines' || target.startsWith('machines/') || target === 'xstate') return undefined;
    return kind === 'type' && isOurs(target) ? undefined : `imports ${target}; only XState and types from the core`;
  });
}

/** Files outside `actors` and `machines` that import XState, each with its reason. */
const XSTATE_FILES: Readonly<Record<string, string>> = {
  'src/followers/follower.ts': 'runs the statechart of a follower as an actor',
};

/** Reports files outside `actors` and `machines` that import XState. Its types may stand in the public class. */
export function xstateStaysInside(sources: Sources): Violation[] {
  return eachImport(sources, (path, target, kind) => {
    if (target !== 'xstate' || Object.hasOwn(XSTATE_FILES, path)) return undefined;
    const layer = layerOf(path);
    if (layer === 'machines' || layer === 'actors' || (layer === 'cache' && kind === 'type')) return undefined;
    return 'imports xstate';
  });
}

/** Node modules that the core may import: bytes and hashes, nothing with a side effect. */
const CORE_BUILTINS: readonly string[] = ['node:buffer', 'node:crypto', 'node:zlib'];
/** The layers that are pure: no I/O, no clock, no randomness. */
const PURE: readonly unknown[] = ['core', 'machines', 'cluster/machine'];
/** The functions of `node:crypto` that give the same result for the same bytes. */
const CORE_CRYPTO = /^import \{ (createHash|hash|createHash, hash) \} from 'node:crypto';$/m;
/** The function of `node:zlib` that does. */
const CORE_ZLIB = /^import \{ crc32 \} from 'node:zlib';$/m;
/** The one file of the core that gives up its turn, and the one import that it does so with. */
const TIME_SLICE = 'src/core/time-slice.ts';
const TURN = /^import \{ setImmediate as nextTurn \} from 'node:timers\/promises';$/m;

/** Reports imports of Node modules in the core and the statecharts, which have no I/O. */
export function coreHasNoIo(sources: Sources): Violation[] {
  return eachImport(sources, (path, target) => {
    if (!PURE.includes(layerOf(path)) || !target.startsWith('node:')) return undefined;
    if (path === TIME_SLICE && target === 'node:timers/promises' && TURN.test(sources.get(path) ?? ''))
      return undefined;
    const text = sources.get(path) ?? '';
    const allowed =
      (target !== 'node:crypto' || CORE_CRYPTO.test(text)) && (target !== 'node:zlib' || CORE_ZLIB.test(text));
    return allowed && CORE_BUILTINS.includes(target) ? undefined : `imports ${target}`;
  });
}

const OPTIONAL_CLIENT = /^(ioredis|classic-level|@nats-io\/.*|@opentelemetry\/.*|@modelcontextprotocol\/.*)(\/|$)/;

/** Reports static imports of clients that a cache without Redis, NATS or a data directory does not need. */
export function optionalClientsAreLazy(sources: Sources): Violation[] {
  return eachImport(sources, (_, target, kind) =>
    kind === 'static' && OPTIONAL_CLIENT.test(target)
      ? `imports ${target} at once; take "import type" and, where it is used, "await import()"`
      : undefined,
  );
}

type Judge = (path: string, target: string, kind: 'static' | 'type' | 'dynamic') => string | undefined;

function eachImport(sources: Sources, judge: Judge): Violation[] {
  return [...sources].flatMap(([path, text]) => {
    const wrongs = importsOf(path, text).map(({ target, kind }) => judge(path, target, kind));
    return [...new Set(wrongs)].flatMap((wrong) => (wrong === undefined ? [] : [`${path} ${wrong}`]));
  });
}

/** Reports files that import each other in a ring, types included: none of them can be read alone. */
export function noCycles(sources: Sources): Violation[] {
  const found: Violation[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push([...trail.slice(start), path].join(' → '));
    if (start >= 0 || done.has(path)) return;
    const text = sources.get(path);
    if (text === undefined) return;
    for (const target of new Set(importsOf(path, text).map((each) => each.target))) {
      walk(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of sources.keys()) walk(path, []);
  return found;
}

const HIDDEN_INPUTS = ['Date.now', 'Math.random', 'performance.now', 'AbortSignal.timeout'];
const TIMERS = ['setTimeout', 'setInterval'];
/** Further globals that a function with the same result on every machine cannot use. */
const CORE_HIDDEN_INPUTS = ['process', 'fetch', 'setImmediate', 'queueMicrotask', 'crypto', 'performance'];

/** The port itself. */
const CLOCK = 'src/core/clock.ts';

/**
 * Reports uses of time and chance besides the clock port or another option, which tests can control.
 *
 * @param allowed uses that stay, `path what`, with the reason as the value.
 */
export function timeComesThroughTheClock(sources: Sources, allowed: Readonly<Record<string, string>>): Violation[] {
  return [...sources].flatMap(([path, text]) => {
    if (path === CLOCK) return [];
    const strict = PURE.includes(layerOf(path));
    return hiddenInputs(path, text, strict)
      .filter(({ what }) => allowed[`${path} ${what}`] === undefined)
      .map(({ where, what }) => `${where} uses ${what}`);
  });
}

function hiddenInputs(path: string, text: string, strict: boolean): { where: string; what: string }[] {
  const file = parse(path, text);
  const found: { where: string; what: string }[] = [];
  visit(file, (node) => {
    const what = hiddenInput(node, strict);
    if (what !== undefined) found.push({ where: place(file, node), what });
  });
  return found;
}

function hiddenInput(node: ts.Node, strict: boolean): string | undefined {
  if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && !node.arguments?.length) return 'new Date()';
  if (ts.isPropertyAccessExpression(node)) {
    const text = node.getText().replace(/^globalThis\./, '');
    return HIDDEN_INPUTS.includes(text) || TIMERS.includes(text) ? text : undefined;
  }
  if (!ts.isIdentifier(node) || !isReference(node)) return undefined;
  return TIMERS.includes(node.text) || (strict && CORE_HIDDEN_INPUTS.includes(node.text)) ? node.text : undefined;
}

/** Returns whether the identifier refers to a global, and is not a property or a declaration of that name. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isImportSpecifier(parent)) return true;
  return !('name' in parent && parent.name === node) && !ts.isTypeNode(parent);
}

/** Lines of a file. */
export const MAX_LINES = 400;
/** Files that may be longer, with their own limit. */
const LONG_FILES: Readonly<Record<string, number>> = {
  // The public class: one documented line of delegation per method.
  'src/cache/agent-context-cache.ts': 650,
  // The methods that it shares with its clients: the same.
  'src/cache/cache-methods.ts': 600,
};

export function filesAreShort(sources: Sources): Violation[] {
  return [...sources].flatMap(([path, text]) => {
    const lines = text.trimEnd().split('\n').length;
    const limit = LONG_FILES[path] ?? MAX_LINES;
    return lines > limit ? [`${path} has ${lines} lines; at most ${limit} are allowed`] : [];
  });
}

/** The excuse on the line before an `any`, with a reason, for libraries whose types need it. */
const EXCUSED = /biome-ignore lint\/suspicious\/noExplicitAny: \S/;

/** Reports `any` without a reason, and comments that silence the compiler. */
export function typesAreHonest(sources: Sources): Violation[] {
  return [...sources].flatMap(([path, text]) => {
    const file = parse(path, text);
    const lines = text.split('\n');
    const found: Violation[] = [];
    visit(file, (node) => {
      if (node.kind !== ts.SyntaxKind.AnyKeyword) return;
      const { line } = file.getLineAndCharacterOfPosition(node.getStart(file));
      if (!EXCUSED.test(lines[line - 1] ?? '')) found.push(`${place(file, node)} says any`);
    });
    if (/^\s*(\/\/|\/?\*+)\s*@ts-(ignore|nocheck|expect-error)/m.test(text))
      found.push(`${path} silences the compiler`);
    return found;
  });
}

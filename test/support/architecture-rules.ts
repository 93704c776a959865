import ts from 'typescript';
import { importsOf, parse, place, type Sources, type Violation, visit } from './architecture.ts';

/** A layer's name is its folder below src/; `machines` stands beside src/, and `root` is src/ itself. */
export type Layer = keyof typeof MAY_IMPORT;

const FOLLOWING = ['core', 'log'] as const;

/** Which layers a layer may import besides itself. */
const MAY_IMPORT = {
  core: [],
  log: ['core'],
  backends: FOLLOWING,
  broadcast: FOLLOWING,
  backup: [...FOLLOWING, 'backends'],
  machines: FOLLOWING,
  actors: [...FOLLOWING, 'backends', 'broadcast', 'backup', 'machines'],
  cache: [...FOLLOWING, 'backends', 'broadcast', 'backup', 'machines', 'actors'],
  root: [...FOLLOWING, 'backends', 'broadcast', 'backup', 'machines', 'actors', 'cache', 'replay', 'inspector'],
  replay: [...FOLLOWING, 'broadcast', 'backup', 'actors', 'cache', 'root'],
  testing: ['core'],
  adapters: [],
  inspector: ['adapters', 'machines'],
  cli: ['adapters', 'inspector'],
} as const;

/** Those that use the cache as any program does. */
const OUTSIDE: readonly string[] = ['cli', 'adapters', 'inspector'];
const PUBLIC_SURFACE = 'src/index.ts';

/** What the published conformance suites are about. */
const CONTRACTS: readonly string[] = [
  'src/storage/update-log.ts',
  'src/storage/follower-sink.ts',
  'src/backends/base-context-cache.ts',
  'src/followers/backup/snapshot-store.ts',
];

/** The layer of a file; `undefined` for a folder that nobody has given a place yet. */
export function layerOf(path: string): Layer | undefined {
  if (path.startsWith('machines/')) return 'machines';
  const folder = /^src\/([^/]+)\//.exec(path)?.[1];
  if (folder === undefined) return path.startsWith('src/') ? 'root' : undefined;
  return folder !== 'root' && Object.hasOwn(MAY_IMPORT, folder) ? (folder as Layer) : undefined;
}

const isOurs = (target: string) => target.startsWith('src/') || target.startsWith('machines/');

/** Imports point upward only. */
export function layers(sources: Sources): Violation[] {
  return eachImport(sources, (path, target) => {
    const from = layerOf(path);
    if (from === undefined) return 'is in a folder that has no place among the layers';
    if (target.startsWith('.') || !isOurs(target)) return undefined;
    const to = layerOf(target);
    if (to === from || mayImport(from, to, target)) return undefined;
    return `imports ${target}, which its layer "${from}" must not`;
  });
}

function mayImport(from: Layer, to: Layer | undefined, target: string): boolean {
  if (OUTSIDE.includes(from) && target === PUBLIC_SURFACE) return true;
  if (from === 'testing' && CONTRACTS.includes(target)) return true;
  return to !== undefined && (MAY_IMPORT[from] as readonly Layer[]).includes(to);
}

/** The statecharts take XState, each other, and types. */
export function machinesArePure(sources: Sources): Violation[] {
  return eachImport(sources, (path, target, kind) => {
    if (layerOf(path) !== 'machines' || target.startsWith('machines/') || target === 'xstate') return undefined;
    return kind === 'type' && isOurs(target) ? undefined : `imports ${target}; only XState and types from the core`;
  });
}

/** XState stays behind the actors. */
export function xstateStaysInside(sources: Sources): Violation[] {
  const allowed: readonly (Layer | undefined)[] = ['machines', 'actors', 'cache', 'root'];
  return eachImport(sources, (path, target) =>
    target === 'xstate' && !allowed.includes(layerOf(path)) ? 'imports xstate' : undefined,
  );
}

/** What Node offers the core: bytes, nothing that has a side effect. */
const CORE_BUILTINS: readonly string[] = ['node:buffer', 'node:crypto'];
/** Of `node:crypto` only what gives the same for the same bytes. */
const CORE_CRYPTO = /^import \{ (createHash|hash|createHash, hash) \} from 'node:crypto';$/m;

/** The core and the machines have no I/O. */
export function coreHasNoIo(sources: Sources): Violation[] {
  return eachImport(sources, (path, target) => {
    const layer = layerOf(path);
    if ((layer !== 'core' && layer !== 'machines') || !target.startsWith('node:')) return undefined;
    const allowed = target !== 'node:crypto' || CORE_CRYPTO.test(sources.get(path) ?? '');
    return allowed && CORE_BUILTINS.includes(target) ? undefined : `imports ${target}`;
  });
}

const OPTIONAL_CLIENT = /^(ioredis|classic-level|@nats-io\/.*)(\/|$)/;

/** A client that a cache without Redis, NATS or a data directory does not need is loaded only when it is used. */
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

/**
 * Files that import each other in a ring, types included: what cannot be read alone.
 *
 * @param allowed imports that stay, `from → to`, with the reason as the value.
 */
export function noCycles(sources: Sources, allowed: Readonly<Record<string, string>> = {}): Violation[] {
  const found: Violation[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]) => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push([...trail.slice(start), path].join(' → '));
    if (start >= 0 || done.has(path)) return;
    const text = sources.get(path);
    if (text === undefined) return;
    for (const target of new Set(importsOf(path, text).map((each) => each.target))) {
      if (allowed[`${path} → ${target}`] === undefined) walk(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of sources.keys()) walk(path, []);
  return found;
}

const HIDDEN_INPUTS = ['Date.now', 'Math.random', 'performance.now', 'AbortSignal.timeout'];
const TIMERS = ['setTimeout', 'setInterval'];
/** Besides those, what a function that gives the same result on every machine cannot use. */
const CORE_HIDDEN_INPUTS = ['process', 'fetch', 'setImmediate', 'queueMicrotask', 'crypto', 'performance'];

/** The port itself. */
const CLOCK = 'src/core/clock.ts';

/**
 * Time and chance come in through the clock port (or another option), so that a test can own them.
 *
 * @param allowed uses that stay, `path what`, with the reason as the value.
 */
export function timeComesThroughTheClock(sources: Sources, allowed: Readonly<Record<string, string>>): Violation[] {
  return [...sources].flatMap(([path, text]) => {
    if (path === CLOCK) return [];
    const layer = layerOf(path);
    const strict = layer === 'core' || layer === 'machines';
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

/** Whether the identifier stands for a global, and not for a property or a declaration of that name. */
function isReference(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  if (ts.isImportSpecifier(parent)) return true;
  return !('name' in parent && parent.name === node) && !ts.isTypeNode(parent);
}

export const MAX_LINES = 400;

/** The files that may be longer, each with the reason. */
const LONG: Readonly<Record<string, string>> = {
  'src/cache/agent-context-cache.ts':
    'the public class: one documented line of delegation per method, without base classes',
};

export function filesAreShort(sources: Sources): Violation[] {
  return [...sources].flatMap(([path, text]) => {
    const lines = text.trimEnd().split('\n').length;
    return lines > MAX_LINES && LONG[path] === undefined
      ? [`${path} has ${lines} lines; ${MAX_LINES} at the most`]
      : [];
  });
}

/** Where the types of a library say `any` themselves, this on the line before, with the reason. */
const EXCUSED = /biome-ignore lint\/suspicious\/noExplicitAny: \S/;

/** No `any` without a reason, and no comment that silences the compiler. */
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

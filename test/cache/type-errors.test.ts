import { join } from 'node:path';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { projectRoot } from '../support/dist.ts';

const PRELUDE = `
import { z } from 'zod';
import { AgentContextCache } from '../../src/index.ts';
interface Plan { mode: 'fast' | 'slow'; steps: string[] }
interface Types { auth: { token: string; tries: number }; trip: { plan: Plan } }
declare const cache: AgentContextCache<Types>;
declare const any: AgentContextCache;
declare const plan: Plan;
declare const method: () => number;
`;

/** A line that the compiler must refuse, the text that the error points at, and a part of its message. */
const REFUSED: readonly (readonly [line: string, at: string, message: string])[] = [
  ["cache.get('plan', 'tripp');", "'tripp'", '"auth" | "trip"'],
  ["cache.set('plan', plan, 'tripp');", "'tripp'", '"auth" | "trip"'],
  ["cache.update('plan', (old) => old, 'tripp');", "'tripp'", '"auth" | "trip"'],
  ["cache.at(1).get('plan', 'tripp');", "'tripp'", '"auth" | "trip"'],
  ["cache.watch({ namespace: 'tripp' });", 'namespace', '"auth" | "trip"'],
  ["cache.namespace('tripp');", "'tripp'", '"auth" | "trip"'],
  ["cache.get('plann', 'trip');", "'plann'", '"plan"'],
  ["cache.get('plan');", "'plan'", 'NoDefaultNamespace'],
  ["cache.set('plan', { mode: 'quick', steps: [] }, 'trip');", 'mode', '"fast" | "slow"'],
  ["cache.setMany({ token: 1 }, 'auth');", 'token', 'string'],
  ["cache.update('tries', () => 'two', 'auth');", "'two'", 'number'],
  ["cache.transact((tx) => tx.get('plan', 'tripp'));", "'tripp'", '"auth" | "trip"'],
  ["cache.transact((tx) => tx.has('plann', 'trip'));", "'plann'", '"plan"'],
  ["cache.transact((tx) => tx.get('plan'));", "'plan'", 'NoDefaultNamespace'],
  ["cache.transact((tx) => tx.set('tries', 'two', 'auth'));", "'two'", 'number'],
  ["cache.transact((tx) => tx.delete('plan', 'auth'));", "'plan'", '"token" | "tries"'],
  ["cache.get('plan', 'trip')?.steps.push('x');", 'push', 'readonly string[]'],
  ["any.set('a', new Date());", 'new Date()', 'Date'],
  ["any.set('a', { at: [new Date()] });", '{ at: [new Date()] }', 'Date'],
  ["any.set('a', method);", 'method', 'number'],
  ['new AgentContextCache<Types>({ schemas: { auth: { token: z.number() } } });', 'token', 'string'],
  ['new AgentContextCache<Types>({ schemas: { auht: { token: z.string() } } });', 'auht', 'auht'],
  ['new AgentContextCache<Types>({ schemas: { auth: { tokken: z.string() } } });', 'tokken', 'tokken'],
  ["new AgentContextCache({ schemas: { auth: { token: z.string() } } }).set('token', 1, 'auth');", '1', 'string'],
  ["new AgentContextCache({ schemas: { 'trip:*': { plan: z.number() } } }).set('plan', '', 'trip:1');", "''", 'number'],
];

it('reports type errors at the wrong argument', { timeout: 120_000 }, () => {
  const path = join(projectRoot, 'test/cache/refused.ts');
  const text = `${PRELUDE}${REFUSED.map(([line]) => line).join('\n')}\n`;
  const { config } = ts.readConfigFile(join(projectRoot, 'tsconfig.json'), ts.sys.readFile) as { config: object };
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, projectRoot);
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === path || fileExists(name);
  host.getSourceFile = (name, ...rest) =>
    name === path ? ts.createSourceFile(name, text, ts.ScriptTarget.ES2023) : getSourceFile(name, ...rest);
  const program = ts.createProgram([path], { ...options, noEmit: true }, host);
  const source = program.getSourceFile(path);
  const found = program.getSemanticDiagnostics(source).map(({ start = 0, length = 0, messageText }) => ({
    line: text.slice(0, start).split('\n').length - PRELUDE.split('\n').length,
    at: text.slice(start, start + length),
    message: ts.flattenDiagnosticMessageText(messageText, '\n'),
  }));
  const expected = REFUSED.map(([, at, message], line) => ({ line, at, message: expect.stringContaining(message) }));
  expect(found).toEqual(expected);
});

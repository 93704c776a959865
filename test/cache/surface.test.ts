import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import * as backup from '../../src/backup.ts';
import * as client from '../../src/client.ts';
import * as main from '../../src/index.ts';
import * as inspector from '../../src/inspector.ts';
import * as nats from '../../src/nats.ts';
import * as server from '../../src/server.ts';
import { projectRoot } from '../support/dist.ts';

/** The source of each entry of "exports" that users of the cache import. */
const ENTRIES = [
  'index',
  'backup',
  'client',
  'inspector',
  'monitoring',
  'nats',
  'opentelemetry',
  'server',
  'types',
  'testing/index',
];

/** The names that the public specification requires. */
const SPECIFIED = [
  ...['AgentContextCache', 'InMemoryContextCache', 'RedisContextCache', 'MultiBackendContextCache', 'BaseContextCache'],
  ...['ContextBufferQueue', 'ContextUpdateProcessor', 'TopicsListConfig', 'ContextUpdateEventPusher'],
  ...['FileContextCache', 'BackupManager', 'BackupInitiator', 'BackupLoader'],
];

/** Returns the names that an entry exports, types included. */
function namesOf(entry: string): string[] {
  const path = join(projectRoot, 'src', `${entry}.ts`);
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ES2023);
  return source.statements.flatMap((statement) => {
    if (!ts.isExportDeclaration(statement)) return [];
    const { exportClause } = statement;
    if (exportClause === undefined || !ts.isNamedExports(exportClause)) throw new Error(`${entry} exports *`);
    return exportClause.elements.map(({ name }) => name.text);
  });
}

describe('the public surface', () => {
  it('exports every class of the specification from the main entry', () => {
    const exported = new Map<string, unknown>(Object.entries(main));
    expect(SPECIFIED.filter((name) => typeof exported.get(name) !== 'function')).toEqual([]);
  });

  it('exports no name from two entries', () => {
    const names = ENTRIES.flatMap(namesOf);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it('keeps the main entry small', () => {
    expect(namesOf('index').length).toBeLessThanOrEqual(75);
  });

  it('has stores, transforms, connections, server, client and the inspector under subpaths', () => {
    expect(Object.keys(backup).sort()).toEqual([
      ...['DirectorySnapshotStore', 'MemorySnapshotStore', 'RedisSnapshotStore', 'SnapshotCorruptError'],
      ...['compress', 'encrypt'],
    ]);
    expect(Object.keys(nats).sort()).toEqual(['connectNats', 'parseNatsAddress', 'parsePublicMessage']);
    expect(Object.keys(client).sort()).toEqual(['RemoteContextCache', 'RemoteView', 'connect']);
    expect(Object.keys(server).sort()).toEqual(['startServer']);
    expect(Object.keys(inspector).sort()).toEqual(['hidesSecrets', 'startInspector', 'wordsOf']);
  });
});

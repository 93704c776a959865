import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from './server-process.ts';

/** The release lines of nats-server that a cluster is tested on. */
export type NatsLine = '2.10' | '2.15';

/** A nats-server program, or the reason why a test on it is skipped. */
export type NatsRelease =
  | { readonly line: NatsLine; readonly program: string; readonly version: string }
  | { readonly line: NatsLine; readonly missing: string };

const FOLDER = join(import.meta.dirname, '../../node_modules/.cache/test-servers/nats');

/** Finds the program of a release line: by NATS_SERVER_2_10 or NATS_SERVER_2_15, or where scripts/test-servers.mjs put it. */
export function natsRelease(line: NatsLine): NatsRelease {
  const named = process.env[`NATS_SERVER_${line.replace('.', '_')}`];
  const program = named === undefined || named === '' ? join(FOLDER, line, 'nats-server') : named;
  const version = existsSync(program) ? versionOf(program) : undefined;
  if (version !== undefined) return { line, program, version };
  const reason = join(FOLDER, line, 'missing');
  const missing = existsSync(reason) ? readFileSync(reason, 'utf8') : 'node scripts/test-servers.mjs has not run';
  return { line, missing: `no nats-server ${line}: ${missing}` };
}

/** Returns the version of the machine's own nats-server, which may be too old for a cluster. */
export function installedNats(): { readonly program: string; readonly version: string } | undefined {
  const program = findProgram('nats-server', process.env.NATS_SERVER);
  const version = program === undefined ? undefined : versionOf(program);
  return program === undefined || version === undefined ? undefined : { program, version };
}

function versionOf(program: string): string | undefined {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return /v(\d+\.\d+\.\d+)/.exec(stdout ?? '')?.[1];
}

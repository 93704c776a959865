import { systemClock } from '../../index.ts';
import { withoutSecrets } from '../config/settings.ts';
import { type CheckedServer, type Finding, inTime, isOlder, unreachable } from './finding.ts';

/** The scripts of the mirror read the time and then write, which older servers refuse. */
const OLDEST = [5, 0];
/** Difference of clocks, milliseconds, from which entries expire at visibly different times. */
const CLOCK_SKEW_MS = 2_000;

/** Checks that Redis answers, its version, and that it keeps all keys. */
export async function checkRedis(server: CheckedServer): Promise<Finding[]> {
  const shown = String(withoutSecrets(server.url));
  const { Redis } = await import('ioredis');
  const client = new Redis(server.url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  let lastError: unknown;
  client.on('error', (error) => {
    lastError = error;
  });
  try {
    await inTime(client.connect());
    const info = infoOf(await inTime(client.info()));
    const before = systemClock.now();
    const [seconds, microseconds] = (await inTime(client.time())) as unknown as [number, number];
    const there = Number(seconds) * 1_000 + Number(microseconds) / 1_000;
    return judge(shown, info, skewOf(there, before, systemClock.now()));
  } catch (error) {
    return [unreachable('redis', lastError ?? error, shown, server)];
  } finally {
    client.disconnect();
  }
}

function infoOf(text: string): ReadonlyMap<string, string> {
  const pairs = text.split(/\r?\n/).map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1)];
  });
  return new Map(pairs);
}

/** Returns the least difference of the clocks: the server may have read its clock at any time between request and answer. */
export function skewOf(there: number, asked: number, answered: number): number {
  return there > answered ? there - answered : Math.min(0, there - asked);
}

function judge(shown: string, info: ReadonlyMap<string, string>, skewMs: number): Finding[] {
  const version = info.get('redis_version') ?? 'unknown';
  const found: Finding[] = [];
  const add = (status: Finding['status'], message: string, remedy: string) =>
    found.push({ check: 'redis', status, message, remedy });
  if (isOlder(version, OLDEST)) {
    add('problem', `${shown}: Redis ${version} is too old to mirror to`, `Use Redis ${OLDEST.join('.')} or newer.`);
  }
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  if (Number(info.get('maxmemory') ?? 0) > 0 && policy !== 'noeviction') {
    const remedy = 'Set maxmemory-policy noeviction, or give the cache a Redis of its own.';
    add('warning', `${shown} evicts keys when it is full (${policy}), which damages mirror and snapshots`, remedy);
  }
  if (info.get('role') === 'slave') {
    add('problem', `${shown} is a replica, which takes no writes`, 'Name the primary.');
  }
  if (Math.abs(skewMs) > CLOCK_SKEW_MS) {
    const message = `its clock is ${(Math.abs(skewMs) / 1_000).toFixed(1)} s ${skewMs > 0 ? 'ahead' : 'behind'}`;
    add('warning', `${shown}: ${message}, so entries expire there at another time`, 'Set both clocks by NTP.');
  }
  return found.length > 0 ? found : [{ check: 'redis', status: 'ok', message: `${shown}: Redis ${version}` }];
}

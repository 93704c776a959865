import { systemClock } from '../../index.ts';
import { type Finding, isOlder } from './finding.ts';

const OLDEST_NODE = [20, 19];
/** A clock that shows an earlier time was never set. */
const BUILT_AT = Date.UTC(2026, 0, 1);
const FAR_AHEAD = Date.UTC(2100, 0, 1);
/** Most that a running clock may step back when it is set, milliseconds. */
const STEP_MS = 5_000;

/** Checks that this Node is new enough. */
export function checkNode(version = process.versions.node): Finding {
  if (!isOlder(version, OLDEST_NODE)) return { check: 'node', status: 'ok', message: `Node ${version}` };
  const remedy = `Install Node ${OLDEST_NODE.join('.')} or newer.`;
  return { check: 'node', status: 'problem', message: `Node ${version} is too old`, remedy };
}

/** Checks that the clock shows a plausible time, not earlier than the last update. */
export function checkClock(lastUpdateAt: number | undefined, now = systemClock.now()): Finding {
  const shown = new Date(now).toISOString();
  if (now < BUILT_AT || now > FAR_AHEAD) {
    const remedy = 'Set the clock (timedatectl set-ntp true): expiry and retention depend on it.';
    return { check: 'clock', status: 'problem', message: `the clock says ${shown}, which is impossible`, remedy };
  }
  if (lastUpdateAt !== undefined && lastUpdateAt - now > STEP_MS) {
    const message = `the clock says ${shown}, but the last update is from ${new Date(lastUpdateAt).toISOString()}`;
    const remedy = 'Set the clock: until it catches up, entries live longer and times in the past are ambiguous.';
    return { check: 'clock', status: 'warning', message, remedy };
  }
  return { check: 'clock', status: 'ok', message: shown };
}

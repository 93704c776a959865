import { systemClock } from '../../index.ts';
import { type Finding, isOlder } from './finding.ts';

const OLDEST_NODE = [20, 19];
/** A clock before this was never set. */
const BUILT_AT = Date.UTC(2026, 0, 1);
const FAR_AHEAD = Date.UTC(2100, 0, 1);
/** Clocks that are set while they run may step back so far. */
const STEP_MS = 5_000;

/** Whether this Node is new enough. */
export function lookAtNode(version = process.versions.node): Finding {
  if (!isOlder(version, OLDEST_NODE)) return { check: 'node', status: 'ok', message: `Node ${version}` };
  const remedy = `Install Node ${OLDEST_NODE.join('.')} or newer.`;
  return { check: 'node', status: 'problem', message: `Node ${version} is too old`, remedy };
}

/** Whether the clock tells a time that can be, and one that is not before what has been written. */
export function lookAtClock(lastUpdateAt: number | undefined, now = systemClock.now()): Finding {
  const shown = new Date(now).toISOString();
  if (now < BUILT_AT || now > FAR_AHEAD) {
    const remedy = 'Set the clock (timedatectl set-ntp true): what expires and how long it is kept goes by it.';
    return { check: 'clock', status: 'problem', message: `the clock says ${shown}, which can not be`, remedy };
  }
  if (lastUpdateAt !== undefined && lastUpdateAt - now > STEP_MS) {
    const message = `the clock says ${shown}, but the last update was made at ${new Date(lastUpdateAt).toISOString()}`;
    const remedy = 'Set the clock: until it has caught up, entries live longer and times of the past are not clear.';
    return { check: 'clock', status: 'warning', message, remedy };
  }
  return { check: 'clock', status: 'ok', message: shown };
}

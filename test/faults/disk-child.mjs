// Carries out a file of commands while its disk fails now and then, and reports the outcome of each at once.
// node disk-child.mjs OPTIONS (JSON, see disk-faults.ts)
//
// Its output:
//   open, shutdown, done                     its progress
//   refused CODE MESSAGE                     the directory could not be opened; it tries again
//   a INDEX POSITION CHANGED STATUS STRUCK   the status of the log; whether the log's file had failed before the command
//   e INDEX CODE STATUS
//   armed N, hit N FILE, degraded N, reads N RESULT, lifted N, ready N, or missed N, unnoticed N, stuck N: course of a fault
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { DiskControl } from './disk-control.mjs';
import { HeldClock } from './held-clock.mjs';
import { say } from './say.mjs';

const { dist, dataDir, mirror, durability, faults, opening, upTo, ...options } = JSON.parse(process.argv[2]);
const { AgentContextCache, FileContextCache } = await import(pathToFileURL(join(dist, 'src/index.js')).href);
const commands = readFileSync(options.commands, 'utf8').split('\n').filter(Boolean).map(JSON.parse);
const control = new DiskControl(options.control);

let fault = -1;
let struck = false;
/** Set from a failure until it has been reported and examined. */
let unseen = false;
// The log must not recover before its degraded state has been examined, however long this process is held up. That it
// is
// degraded is reported without a timer.
const clock = new HeldClock(() => unseen && look(faults[fault]) !== undefined);

if (opening !== undefined) control.arm(opening);
let cache = await open();
while (cache === undefined) {
  if (opening?.forever) control.disarm();
  cache = await open();
}
if (opening !== undefined) control.disarm();
say('open');

let next = 0;
// The first command sets the value that is read while the log is degraded.
await burst();
for (fault = 0; fault < faults.length; fault += 1) await suffer(faults[fault]);
while (next < Math.min(upTo, commands.length)) await burst();
say('shutdown');
const { undelivered, logError } = await cache.shutdown({ timeoutMs: 20_000 });
if (undelivered.length > 0 || logError !== undefined) say(`error ${JSON.stringify(undelivered)} ${logError}`);
say('done');

async function open() {
  try {
    const secondaryCache = mirror && new FileContextCache({ path: mirror });
    const backOff = { initialMs: 20 };
    // Writes the index often, so that the disk fails during that too.
    const internals = { checkpointMs: 50 };
    const own = { natsUrl: null, backOff, onError() {}, internals, clock };
    return await AgentContextCache.open({ dataDir, durability, secondaryCache, ...own });
  } catch (error) {
    say(`refused ${error.code} ${error.message}`);
  }
}

/** Works until the disk has failed and works again. */
async function suffer(kind) {
  struck = false;
  if (kind.full !== true) control.arm(kind);
  unseen = true;
  say(`armed ${fault}`);
  for (let bursts = 0; look(kind) === undefined; bursts += 1) {
    if (bursts >= 20 + 8 * kind.n || next >= commands.length) {
      control.disarm();
      unseen = false;
      clock.thaw();
      return say(`missed ${fault}`);
    }
    await burst();
    // The index gathers for a time in which a fast machine would carry out all commands.
    if (kind.directory?.endsWith('/db/index')) await untilIndexed(kind);
  }
  const { file } = look(kind);
  say(`hit ${fault} ${file}`);
  const deadline = performance.now() + 30_000;
  const degraded = () => cache.health().status === 'degraded';
  for (let turn = 0; !degraded() && performance.now() < deadline; turn += 1) await (turn % 10 ? nextTurn() : burst());
  if (!degraded()) return say(`unnoticed ${fault}`);
  say(`degraded ${fault}`);
  await burst();
  say(`reads ${fault} ${read()}`);
  if (options.stayAtReads) await pause(60_000);
  unseen = false;
  clock.thaw();
  if (kind.forever) await pause(250);
  if (kind.forever || kind.full) lift(kind);
  say(`lifted ${fault}`);
  const patience = performance.now() + 60_000;
  while (degraded() && performance.now() < patience) await pause(2);
  if (degraded()) {
    say(`stuck ${fault} ${cache.health().errors.last?.message}`);
    process.exit(1);
  }
  struck = false;
  control.disarm();
  say(`ready ${fault}`);
}

/** Resolves when the index has what was written, or its disk has failed. */
async function untilIndexed(kind) {
  const { position } = cache;
  const isBehind = () => cache.health().followers.find(({ name }) => name === 'index').checkpoint < position;
  while (look(kind) === undefined && isBehind()) await pause(1);
}

function read() {
  try {
    return `${cache.get('known', 'reads')} ${cache.entries('reads').length}`;
  } catch (error) {
    return error.code;
  }
}

/** Carries out some commands at a time, in order. */
async function burst() {
  const until = Math.min(next + 8, commands.length);
  const asked = [];
  for (; next < until; next += 1) asked.push(carryOut(next, commands[next]));
  await Promise.all(asked);
  // An acknowledgement at `memory` comes at once. The disk needs a turn all the same.
  await (durability === 'memory' ? pause(2) : nextTurn());
}

async function carryOut(index, command) {
  const wasStruck = Number(noticeStrike());
  try {
    const { position, changed } = await cache.ask(command);
    const { status } = cache.health().log;
    if (changed !== undefined) say(`a ${index} ${position} ${Number(changed)} ${status} ${wasStruck}`);
  } catch (error) {
    say(`e ${index} ${error.code} ${cache.health().log.status}`);
    // Refused: repeating the command at once is pointless.
    if (error.code === 'LOG_UNAVAILABLE') await pause(5);
  }
}

/** Returns whether the file of the log has failed since the fault was armed. */
function noticeStrike() {
  if (fault >= 0 && fault < faults.length && !struck) {
    const seen = look(faults[fault]);
    struck = seen !== undefined && /\/log\/\d+\.log/.test(seen.file);
  }
  return struck;
}

/** Returns the first failure since the fault was armed; `undefined` if there is none yet. */
function look({ full }) {
  if (full) return cache.health().log.status === 'ready' ? undefined : { file: '?' };
  return control.firstFailure();
}

function lift({ full }) {
  if (full) rmSync(options.ballast);
  else control.disarm();
}

import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** A script that Redis runs as one atomic step. */
export interface Script {
  readonly source: string;
  readonly sha: string;
}

function script(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/** Runs a script. Sends its source only if Redis does not know it yet. */
export async function runScript(
  client: Redis,
  { sha, source }: Script,
  keys: readonly string[],
  rest: readonly (string | Buffer)[],
): Promise<unknown> {
  const args = [keys.length, ...keys, ...rest];
  try {
    return await client.call('EVALSHA', [sha, ...args]);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return await client.call('EVAL', [source, ...args]);
  }
}

/**
 * Works in chunks, because Lua passes only some thousand arguments to a call. Removes the index last and at once, so that
 * an interrupted script can be repeated.
 */
const CLEAR_FUNCTION = `
local function clear(index, space)
  local cursor = '0'
  repeat
    local page = redis.call('SSCAN', index, cursor, 'COUNT', 1000)
    cursor = page[1]
    local keys = {}
    for i, name in ipairs(page[2]) do keys[i] = space .. name end
    if #keys > 0 then redis.call('UNLINK', unpack(keys)) end
  until cursor == '0'
  redis.call('UNLINK', index)
end
`;

/**
 * KEYS: value, index, namespaces. ARGV: value, expiresAt or '', key, namespace.
 * Writes the index before the value: a script that Redis ends in the middle leaves a name without a value, which listing
 * skips, and never a value without a name.
 */
export const SET = script(`
redis.call('SADD', KEYS[3], ARGV[4])
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then redis.call('PEXPIREAT', KEYS[1], ARGV[2]) end
return 1
`);

/** KEYS: value, index. ARGV: key. Returns the number of removed values, 0 or 1. */
export const DELETE = script(`
local removed = redis.call('UNLINK', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
return removed
`);

/** KEYS: index, namespaces. ARGV: beginning of the value keys, namespace, '1' to remove it from the list. */
export const CLEAR = script(`${CLEAR_FUNCTION}
clear(KEYS[1], ARGV[1])
if ARGV[3] == '1' then redis.call('SREM', KEYS[2], ARGV[2]) end
return 1
`);

/**
 * Returns a page of the names that have a value. KEYS: index. ARGV: cursor, beginning of the value keys. Removes names
 * from the index if Redis has expired or evicted their value; a replica, which may not write, only skips them.
 */
export const LIST = script(`
local page = redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', 1000)
local live, gone = {}, {}
for _, name in ipairs(page[2]) do
  if redis.call('EXISTS', ARGV[2] .. name) == 1 then live[#live + 1] = name else gone[#gone + 1] = name end
end
if #gone > 0 then redis.pcall('SREM', KEYS[1], unpack(gone)) end
return { page[1], live }
`);

/** First item of the reply of {@link APPLY}. `elsewhere`: the second item is the position, or null. */
export const APPLY_REPLY = { elsewhere: 0, done: 1, entryGone: 2 } as const;

/**
 * KEYS: positions, namespaces. ARGV: prefix, log, after, through, then the changes, at most one of a key, each as
 * kind, namespace, key, expiresAt or '', value.
 *
 * Changes nothing unless the stored position is \`after\`. Stores the new position last, so that a script that Redis
 * refuses in the middle (out of memory) is repeated completely. A touch of a missing entry that should exist means that
 * Redis expired it while the updates were under way: the position is removed, so that the whole state is copied again.
 * A Redis that evicts entries is configured to lose them, so there a missing entry means nothing.
 */
export const APPLY = script(`${CLEAR_FUNCTION}
local prefix = ARGV[1]
local stored = redis.call('HGET', KEYS[1], ARGV[2])
if (stored or '0') ~= ARGV[3] then return { 0, stored } end

local function evicts()
  local stats = redis.pcall('INFO', 'stats')
  return type(stats) == 'string' and string.match(stats, 'evicted_keys:(%d+)') ~= '0'
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for i = 5, #ARGV, 5 do
  local expiresAt = ARGV[i + 3]
  if ARGV[i] == 'touch' and redis.call('EXISTS', prefix .. ARGV[i + 1] .. ':' .. ARGV[i + 2]) == 0
    and (expiresAt == '' or tonumber(expiresAt) > now) and not evicts() then
    redis.call('HDEL', KEYS[1], ARGV[2])
    return { 2 }
  end
end

local listed = {}
for i = 5, #ARGV, 5 do
  local kind, namespace, key, expiresAt = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local space, index = prefix .. namespace .. ':', prefix .. ':keys:' .. namespace
  if kind == 'drop' then
    redis.call('SREM', KEYS[2], namespace)
    listed[namespace] = nil
  elseif not listed[namespace] then
    redis.call('SADD', KEYS[2], namespace)
    listed[namespace] = true
  end
  if kind == 'set' then
    redis.call('SADD', index, key)
    redis.call('SET', space .. key, ARGV[i + 4])
    if expiresAt ~= '' then redis.call('PEXPIREAT', space .. key, expiresAt) end
  elseif kind == 'delete' then
    redis.call('UNLINK', space .. key)
    redis.call('SREM', index, key)
  elseif kind == 'touch' then
    if expiresAt == '' then redis.call('PERSIST', space .. key) else redis.call('PEXPIREAT', space .. key, expiresAt) end
  else
    clear(index, space)
  end
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
return { 1 }
`);

/**
 * First item of the reply of {@link OWN}. After `other` come the other's log, its process, milliseconds since it was
 * active (-1 if it has shut down) and 1 if it counts as running. `gone`: the mark to renew does not exist.
 */
export const OWN_REPLY = { other: 0, owned: 1, gone: 2 } as const;

/** Values of a log in the positions that is no longer the owner; neither is a position, so its writes are refused. */
const TAKEN_OVER = { byDescendant: 'replaced', byStranger: 'lost' } as const;

/** Returns `true` if a log in the positions has left content that its successor does not replace. */
export function isShared(stored: string): boolean {
  return stored !== TAKEN_OVER.byDescendant;
}

/**
 * KEYS: the mark of the owner, and for a mirror its positions. ARGV: 'claim' or 'renew', log, token, '1' if the log is
 * durable, process, lease in milliseconds, then the ancestors of the log.
 *
 * A claim that takes the mark over from another log, or finds none, fences the positions of all other logs: a process
 * that was only paused finds its next write refused. The position of the claiming log stays unless another log was the
 * owner; a new one is 0, so that there is something to fence.
 */
export const OWN = script(`
local how, log, token, durable, holder, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call('HMGET', KEYS[1], 'log', 'token', 'durable', 'holder', 'activeAt')
local owner, activeAt = held[1], tonumber(held[5] or '0')
local active = owner and now - activeAt < lease

local function isAncestor(name)
  for i = 7, #ARGV do if ARGV[i] == name then return true end end
  return false
end
local function refuse()
  local idle = -1
  if activeAt > 0 then idle = now - activeAt end
  return { 0, owner or '', held[4] or '', idle, active and 1 or 0 }
end

if how == 'renew' and not owner then return { 2 } end
if how == 'renew' and held[2] ~= token then return refuse() end
if how == 'claim' and owner and owner ~= log and (active or (held[3] == '1' and not isAncestor(owner))) then
  return refuse()
end
if owner ~= log and KEYS[2] then
  for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
    if name ~= log then
      redis.call('HSET', KEYS[2], name, isAncestor(name) and '${TAKEN_OVER.byDescendant}' or '${TAKEN_OVER.byStranger}')
    elseif owner or not string.match(redis.call('HGET', KEYS[2], name), '^%d+$') then
      redis.call('HDEL', KEYS[2], name)
    end
  end
end
if KEYS[2] then redis.call('HSETNX', KEYS[2], log, '0') end
redis.call('HSET', KEYS[1], 'log', log, 'token', token, 'durable', durable, 'holder', holder, 'activeAt', now)
return { 1 }
`);

/** KEYS: the mark of the owner. ARGV: token. The mark stays, as of an owner that has shut down. */
export const RELEASE = script(`
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'activeAt', '0')
return 1
`);

/** KEYS: positions, the mark of the owner. ARGV: log, position. Refuses (0) if the mark names another log. */
export const RESET = script(`
local owner = redis.call('HGET', KEYS[2], 'log')
if owner and owner ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
`);

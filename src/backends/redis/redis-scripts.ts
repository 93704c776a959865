import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** A script that runs in Redis as one step nobody can come between. */
export interface Script {
  readonly source: string;
  readonly sha: string;
}

function script(source: string): Script {
  return { source, sha: createHash('sha1').update(source).digest('hex') };
}

/** Runs a script; Redis gets its source only where it does not know it yet. */
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
 * Chunks, as Lua hands over some thousand arguments at the most. The index goes last, and at once, so that a script
 * that is cut short can be repeated.
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
 * Index before value: a script that Redis ends in the middle leaves a name without a value, which listing skips, and
 * never a value without a name.
 */
export const SET = script(`
redis.call('SADD', KEYS[3], ARGV[4])
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then redis.call('PEXPIREAT', KEYS[1], ARGV[2]) end
return 1
`);

/** KEYS: value, index. ARGV: key. Returns how many there were. */
export const DELETE = script(`
local removed = redis.call('UNLINK', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
return removed
`);

/** KEYS: index, namespaces. ARGV: what value keys begin with, namespace, '1' to take it off the list. */
export const CLEAR = script(`${CLEAR_FUNCTION}
clear(KEYS[1], ARGV[1])
if ARGV[3] == '1' then redis.call('SREM', KEYS[2], ARGV[2]) end
return 1
`);

/**
 * A page of the names that have a value. KEYS: index. ARGV: cursor, what value keys begin with. Names whose value
 * Redis has expired or evicted leave the index; on a replica, which may not write, they are only skipped.
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
 * Nothing is changed unless the stored position is \`after\`; the new one is stored last, so that a script that Redis
 * refuses in the middle (no memory left) is repeated whole. A touch of an entry that should be there and is not means
 * that Redis has expired it while the updates were on their way: the position is forgotten, so that everything is
 * copied again. A Redis that evicts loses entries all the time and by order, and there it means nothing.
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

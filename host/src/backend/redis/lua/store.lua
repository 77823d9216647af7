-- Does one thing to one of an owner's keys.
--
-- KEYS: the values, the keys that expire by time, how many bytes they are.
-- ARGV: time, key, what to do, then for "put", "replace" and "increment" for how long in ms ("" for none), the value or
--       the number to add, and for "replace" whether something is expected (0, 1) and what.
-- Returns 0 where there is no room; otherwise 1 (done), 2 (not what was expected), 3 (no number), { value } (false for
-- none) or, as text, the sum.

local values, fading, size = KEYS[1], KEYS[2], KEYS[3]
local key, what = arg(), arg()
-- Until when, 0 for ever.
local KEPT_UNTIL = '>I7'

local function drop(keys)
  if #keys == 0 then return end
  local bytes = 0
  for _, key in ipairs(keys) do
    local length = redis.call('HSTRLEN', values, key)
    if length > 0 then bytes = bytes + #key + length - 7 end
  end
  redis.call('HDEL', values, unpack(keys))
  redis.call('ZREM', fading, unpack(keys))
  if redis.call('HLEN', values) == 0 then redis.call('DEL', size) else redis.call('DECRBY', size, bytes) end
end

local held, present, kept = redis.call('HGET', values, key), false, 0
if held then
  local rest
  kept, rest = struct.unpack(KEPT_UNTIL, held)
  if kept > 0 and kept <= now then
    drop({ key })
    held, kept = false, 0
  else
    present = string.sub(held, rest)
  end
end
if what == 'get' then return { present } end
if what == 'remove' then
  drop({ key })
  return 1
end

-- Redis adds: numbers of 64 bits are too long for Lua. (It refuses signs and zeros that a number may well begin with.)
local function sum(by)
  local sign, digits = string.match(present or '0', '^([+-]?)0*(%d+)$')
  if not digits then return nil end
  redis.call('HSET', values, '', (sign == '-' and digits ~= '0' and '-' or '') .. digits)
  local added = redis.pcall('HINCRBY', values, '', by)
  local found = type(added) == 'number' and redis.call('HGET', values, '')
  redis.call('HDEL', values, '')
  return found
end

local ttl, value, answer = arg(), arg(), 1
if what == 'replace' then
  local expected = arg() == '1' and arg()
  if expected ~= present then return 2 end
elseif what == 'increment' then
  value = sum(value)
  if not value then return 3 end
  answer = value
end
local until_when = 0
if ttl ~= '' then
  until_when = math.min(now + tonumber(ttl), FAR)
elseif what ~= 'put' then
  until_when = kept
end

local function has_room()
  local keys = redis.call('HLEN', values) + (held and 0 or 1)
  local bytes = tonumber(redis.call('GET', size) or 0) - (held and #key + #present or 0)
  return keys <= STORE_KEYS and bytes + #key + #value <= STORE_BYTES
end
while not has_room() do
  local over = redis.call('ZRANGEBYSCORE', fading, '-inf', now, 'LIMIT', 0, CHUNK)
  if #over == 0 then return 0 end
  drop(over)
end
drop({ key })
redis.call('HSET', values, key, struct.pack(KEPT_UNTIL, until_when) .. value)
redis.call('INCRBY', size, #key + #value)
if until_when > 0 then redis.call('ZADD', fading, until_when, key) end
return answer

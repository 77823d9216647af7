-- Counts a queue's tasks.
--
-- KEYS: the queue's.
-- ARGV: time, what counts as soon in ms.
-- Returns scheduled, soon, pending, running, parked, dead, then as configure.lua is given them: paused, rate, most.

local q = queue_at(1)
local soon = math.min(now + number(), FAR)
local gone, paused, rate, most = unpack(redis.call('HMGET', q.c, 'gone', 'paused', 'rate', 'most'))
local pending, parked = redis.call('ZCOUNT', q.s, '-inf', now) - (gone or 0), 0
for priority = 0, 2 do pending = pending + redis.call('LLEN', q['p' .. priority]) end
local counts = redis.call('HGETALL', q.k)
for index = 1, #counts, 2 do
  local number = tonumber(counts[index + 1])
  if string.sub(counts[index], -1) == '1' then parked = parked + number else pending = pending + number end
end
local later = string.format('(%.0f', now)
return { redis.call('ZCOUNT', q.s, later, '+inf'), redis.call('ZCOUNT', q.s, later, soon), pending,
  redis.call('ZCARD', q.l), parked, redis.call('ZCOUNT', q.d, later, '+inf'), paused, rate, most }

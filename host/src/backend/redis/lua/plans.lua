-- The schedules.
--
-- KEYS: the schedules.
-- ARGV: time.
-- Returns now, then name and value of each.

local answer = redis.call('HGETALL', KEYS[1])
table.insert(answer, 1, now)
return answer

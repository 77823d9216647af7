-- Counts the ticks of a schedule up to one as done, unless somebody else was faster.
--
-- KEYS: the schedules.
-- ARGV: time, name, up to when its ticks were done, up to when they are, the id of that one's task ("" for none).
-- Returns 0 or 1.

local name, since, at, last = arg(), number(), number(), arg()
local value = redis.call('HGET', KEYS[1], name)
local plan = value and plan_of(value)
if not plan or plan.since ~= since or at <= since then return 0 end
plan.since = at
if last ~= '' then plan.last = last end
redis.call('HSET', KEYS[1], name, plan_blob(plan))
return 1

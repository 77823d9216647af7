-- Keeps a schedule; what it says is new counts from now on.
--
-- KEYS: the schedules.
-- ARGV: time, name, body.
-- Returns 0 where it is new, 1 where there was another of that name, 2 where it was there.

local name, body = arg(), arg()
local old, last = redis.call('HGET', KEYS[1], name), ''
if old then
  local plan = plan_of(old)
  if plan.body == body then return 2 end
  last = plan.last
end
redis.call('HSET', KEYS[1], name, plan_blob({ since = now, last = last, body = body }))
return old and 1 or 0

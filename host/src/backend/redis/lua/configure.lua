-- Changes a queue's settings.
--
-- KEYS: the queue's.
-- ARGV: time, wake channel, the queue's name, then name and value of each: "paused" (1), "rate" (what RATE describes),
--       "most" (how many run at once); "" for none.
-- Returns nothing.

local q = queue_at(1)
local wake, name = arg(), arg()
while next_arg < #ARGV do
  local field, value = arg(), arg()
  -- What was taken at another rate doesn't count at this one.
  if field == 'rate' and redis.call('HGET', q.c, field) ~= value then redis.call('HDEL', q.c, 'reached') end
  if value == '' then redis.call('HDEL', q.c, field) else redis.call('HSET', q.c, field, value) end
end
redis.call('PUBLISH', wake, name)
return 0

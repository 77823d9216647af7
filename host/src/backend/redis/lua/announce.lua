-- A worker says that it lives; those that said nothing for too long are forgotten.
--
-- KEYS: the workers.
-- ARGV: time, worker, how long it is believed in ms, its report.
-- Returns nothing.

local id, span, report = arg(), number(), arg()
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  if struct.unpack('>I7', all[index + 1]) <= now then redis.call('HDEL', KEYS[1], all[index]) end
end
redis.call('HSET', KEYS[1], id, struct.pack('>I7', math.min(now + span, FAR)) .. report)
return 0

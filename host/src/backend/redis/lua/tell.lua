-- Writes what became of a task where any client finds it, unless a later run's end stands there.
--
-- KEYS: the task's hash.
-- ARGV: time, the run, until when it is kept, fields and values.
-- Returns nothing.

local run, kept = number(), number()
if tonumber(redis.call('HGET', KEYS[1], 'run') or -1) <= run and kept > now then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], unpack(ARGV, next_arg + 1))
  redis.call('PEXPIREAT', KEYS[1], kept)
end
return 0

-- Makes queues known. Each has a number for as long as the database lasts; there are few, and they are never forgotten.
--
-- KEYS: the queues.
-- ARGV: time, names.
-- Returns name and number of all queues.

while next_arg < #ARGV do
  local name = arg()
  if redis.call('HEXISTS', KEYS[1], name) == 0 then redis.call('HSET', KEYS[1], name, redis.call('HLEN', KEYS[1]) + 1) end
end
return redis.call('HGETALL', KEYS[1])

-- Drops letters that have arrived.
--
-- KEYS: the queue's.
-- ARGV: time, their numbers.
-- Returns nothing.

local q = queue_at(1)
while next_arg < #ARGV do
  local letter = arg()
  redis.call('ZREMRANGEBYSCORE', q.oz, letter, letter)
  redis.call('HDEL', q.o, letter)
end
return 0

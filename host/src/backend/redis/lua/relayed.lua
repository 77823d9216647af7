-- Drops follow-ups that have arrived.
--
-- KEYS: the queue's.
-- ARGV: time, their numbers.
-- Returns nothing.

local q = queue_at(1)
while next_arg < #ARGV do redis.call('HDEL', q.n, arg()) end
return 0

-- Forgets a schedule.
--
-- KEYS: the schedules.
-- ARGV: time, name.
-- Returns how many there were of that name.

return redis.call('HDEL', KEYS[1], arg())

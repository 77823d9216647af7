-- Holds ids no longer.
--
-- KEYS: theirs.
-- ARGV: time, who held them.
-- Returns nothing.

local who = arg()
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == who then redis.call('DEL', key) end
end
return 0

-- Holds ids, all or none, so that nobody else pushes a task of one of them into any queue meanwhile.
--
-- KEYS: theirs.
-- ARGV: time, who holds them, for how many ms.
-- Returns now, or 0 where somebody else holds one.

local who, span = arg(), arg()
for _, key in ipairs(KEYS) do
  local other = redis.call('GET', key)
  if other and other ~= who then return 0 end
end
for _, key in ipairs(KEYS) do redis.call('SET', key, who, 'PX', span) end
return now

-- Drops dead letters.
--
-- KEYS: the queue's.
-- ARGV: time, ids.
-- Returns how many were there.

local q = queue_at(1)
local there = 0
while next_arg < #ARGV do
  local id = arg()
  local kept = redis.call('ZSCORE', q.d, id)
  if kept then
    if tonumber(kept) > now then there = there + 1 end
    forget_dead(q, id)
  end
end
return there

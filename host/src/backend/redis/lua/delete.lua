-- Drops results.
--
-- KEYS: the queue's.
-- ARGV: time, ids.
-- Returns how many were there.

local q = queue_at(1)
local there = 0
while next_arg < #ARGV do
  local id = arg()
  local old = redis.call('HGET', q.r, id)
  if old then
    local _, kept = struct.unpack(KEPT, old)
    if kept > now then there = there + 1 end
    forget_results(q, { id })
  end
end
return there

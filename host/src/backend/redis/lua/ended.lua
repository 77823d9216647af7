-- One page of a queue's results, the latest end first.
--
-- KEYS: the queue's.
-- ARGV: time, "fd" (done and cancelled) or "fx" (dead), how many to leave out, how many to read.
-- Returns how many were read, then the records that are kept.

local q = queue_at(1)
local order, from, page = arg(), number(), number()
local ids = redis.call('ZREVRANGE', q[order], from, from + page - 1)
local answer = { #ids }
for _, value in ipairs(gather('HMGET', q.r, ids)) do
  if value then
    local _, kept, rest = struct.unpack(KEPT, value)
    if kept > now then answer[#answer + 1] = string.sub(value, rest) end
  end
end
return answer

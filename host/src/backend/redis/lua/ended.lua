-- One page of a queue's results, the latest end first.
--
-- KEYS: the queue's.
-- ARGV: time, "fd" or "fo" (done and cancelled) or "fx" (dead), how many to leave out, how many to read at most.
-- Returns how many were read, then the records that are kept; fewer where they are large.

local q = queue_at(1)
local order, from, page = arg(), number(), number()
local ids = redis.call('ZREVRANGE', q[order], from, from + page - 1)
local answer, bytes = { 0 }, 4 * 1024 * 1024
for index, id in ipairs(ids) do
  local value = redis.call('HGET', q.r, id)
  if value then
    local _, kept, rest = struct.unpack(KEPT, value)
    if kept > now then answer[#answer + 1] = string.sub(value, rest) end
    bytes = bytes - #value
  end
  answer[1] = index
  if bytes <= 0 then break end
end
return answer

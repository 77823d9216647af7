-- Reads results.
--
-- KEYS: the queue's.
-- ARGV: time, ids.
-- Returns one record per id, false for none.

local q = queue_at(1)
local ids = {}
while next_arg < #ARGV do ids[#ids + 1] = arg() end
local found = gather('HMGET', q.r, ids)
for index, value in ipairs(found) do
  if value then
    local _, kept, rest = struct.unpack(KEPT, value)
    found[index] = kept > now and string.sub(value, rest)
  end
end
return found

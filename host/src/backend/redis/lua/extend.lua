-- Holds leases for longer.
--
-- KEYS: the queue's.
-- ARGV: time, lease in ms, then id and run of each.
-- Returns per run whether it holds its lease: 0, 1, or 2 where it is to be cancelled.

local q = queue_at(1)
local lease_end = string.format('%.0f', now + number())
local ids, numbers = {}, {}
while next_arg < #ARGV do ids[#ids + 1], numbers[#numbers + 1] = arg(), number() end
local answers, kept = {}, {}
for index, blob in ipairs(gather('HMGET', q.x, ids)) do
  answers[index] = 0
  if blob then
    local _, number, _, _, mark = struct.unpack(RUN, blob)
    if number == numbers[index] then
      kept[#kept + 1], kept[#kept + 2] = lease_end, ids[index]
      answers[index] = mark >= CANCELLED and 2 or 1
    end
  end
end
each('ZADD', q.l, kept)
return answers

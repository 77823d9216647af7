-- Ends the leases of a worker that has left, among a part of those that run: the next look takes them back.
--
-- KEYS: the queue's.
-- ARGV: time, wake channel, the queue's name, worker, cursor.
-- Returns the next cursor ("0" at the end).

local q = queue_at(1)
local wake, name, worker, cursor = arg(), arg(), arg(), arg()
local found = redis.call('HSCAN', q.x, cursor, 'COUNT', CHUNK)
local its = {}
for index = 1, #found[2], 2 do
  if run_of(found[2][index + 1]).worker == worker then its[#its + 1], its[#its + 2] = now, found[2][index] end
end
each('ZADD', q.l, its)
if #its > 0 then redis.call('PUBLISH', wake, name) end
return found[1]

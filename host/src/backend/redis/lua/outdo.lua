-- Forgets records of ids that have one of another life in a queue of another slot, unless a later run's stands here.
--
-- KEYS: the queue's.
-- ARGV: time, then id and run of each.
-- Returns per id 1, or 0 where the one here stands.

local q = queue_at(1)
local answers = {}
while next_arg < #ARGV do
  local id, run = arg(), number()
  answers[#answers + 1] = yields(q, id, redis.call('HGET', q.r, id), run) and 1 or 0
end
return answers

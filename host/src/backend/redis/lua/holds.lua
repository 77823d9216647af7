-- Tells which ids a queue holds.
--
-- KEYS: the queue's.
-- ARGV: time, ids.
-- Returns 0 or 1 per id.

local q = queue_at(1)
local answers = {}
while next_arg < #ARGV do answers[#answers + 1] = holds(q, arg()) and 1 or 0 end
return answers

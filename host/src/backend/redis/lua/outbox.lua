-- Reads letters, the oldest first.
--
-- KEYS: the queue's.
-- ARGV: time, how many.
-- Returns number and record of each.

local q = queue_at(1)
local letters, answer = redis.call('ZRANGE', q.oz, 0, number() - 1, 'WITHSCORES'), {}
for index = 2, #letters, 2 do
  answer[#answer + 1], answer[#answer + 2] = tonumber(letters[index]), redis.call('HGET', q.o, letters[index])
end
return answer

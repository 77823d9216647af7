-- Reads letters, the oldest first.
--
-- KEYS: the queue's.
-- ARGV: time, how many at most.
-- Returns number and record of each; fewer where they are large.

local q = queue_at(1)
local letters = redis.call('ZRANGE', q.oz, 0, number() - 1, 'WITHSCORES')
local answer, bytes = {}, 4 * 1024 * 1024
for index = 2, #letters, 2 do
  local record = redis.call('HGET', q.o, letters[index])
  answer[#answer + 1], answer[#answer + 2] = tonumber(letters[index]), record
  bytes = bytes - #record
  if bytes <= 0 then break end
end
return answer

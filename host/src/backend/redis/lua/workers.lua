-- The workers that live.
--
-- KEYS: the workers.
-- ARGV: time.
-- Returns their reports.

local all, answer = redis.call('HGETALL', KEYS[1]), {}
for index = 2, #all, 2 do
  local kept, rest = struct.unpack('>I7', all[index])
  if kept > now then answer[#answer + 1] = string.sub(all[index], rest) end
end
return answer

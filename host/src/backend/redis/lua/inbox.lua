-- Hands out what others left: what was handed out before and not taken in comes first, then what is new. What is new gets
-- its id at this moment.
--
-- KEYS: the list that others push to, what was handed out (hash, id → content), until when it is held (sorted).
-- ARGV: time, at most how many, at most how many bytes beside the first, for how long they are held, ids for new ones.
-- Returns id and content of each.

local list, handed_out, held = KEYS[1], KEYS[2], KEYS[3]
local most, bytes, hold = number(), number(), number()
local answer = {}

-- False once there is no room for it.
local function give(id, content)
  bytes = bytes - #content
  if #answer > 0 and bytes < 0 then return false end
  redis.call('ZADD', held, now + hold, id)
  answer[#answer + 1], answer[#answer + 2] = id, content
  most = most - 1
  return most > 0
end

local has_room = most > 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', now, 'LIMIT', 0, most)) do
  local content = redis.call('HGET', handed_out, id)
  if content then
    has_room = give(id, content)
    if not has_room then break end
  else
    redis.call('ZREM', held, id)
  end
end
while has_room and next_arg < #ARGV do
  local content = redis.call('LPOP', list)
  if not content then break end
  local id = arg()
  redis.call('HSET', handed_out, id, content)
  has_room = give(id, content)
  -- It has its id, and comes with the next look.
  if not has_room and most > 0 then redis.call('ZADD', held, now, id) end
end
return answer

-- Walks over a part of a queue's unfinished tasks.
--
-- KEYS: the queue's.
-- ARGV: time, cursor, how many at once, state ("" for any), handler ("" for any), and the place after which to list:
--       time of enqueueing and id.
-- Returns the next cursor ("0" at the end), then time of enqueueing and id of each that matches.

local q = queue_at(1)
local cursor, page, wanted, handler, before, before_id = arg(), number(), arg(), arg(), number(), arg()
local found = redis.call('HSCAN', q.m, cursor, 'COUNT', page)
local answer = { found[1] }
for index = 1, #found[2], 2 do
  local id, value = found[2][index], found[2][index + 1]
  local h = head(value)
  local older = h.enqueued < before or (h.enqueued == before and id < before_id)
  if older and (handler == '' or handler == h.handler) then
    local name
    if wanted == '' then
      name = not redis.call('ZSCORE', q.d, id)
    else
      name = stands(q, id, h, redis.call('HGET', q.e, id)) == wanted
    end
    if name then answer[#answer + 1], answer[#answer + 2] = h.enqueued, id end
  end
end
return answer

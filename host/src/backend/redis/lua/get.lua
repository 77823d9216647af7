-- Tells where tasks stand.
--
-- KEYS: the queue's.
-- ARGV: time, ids.
-- Returns per id: "" for one that isn't there; "leaving" and its record; or its state, its x and e ("" for none), its m and,
-- where it waits for results, its a.

local q = queue_at(1)
local answer = {}
local function say(...)
  for _, part in ipairs({ ... }) do answer[#answer + 1] = part end
end
while next_arg < #ARGV do
  local id = arg()
  local letter, value = redis.call('ZSCORE', q.oz, id), redis.call('HGET', q.m, id)
  if letter then
    say('leaving', redis.call('HGET', q.o, letter))
  elseif value then
    local blob = redis.call('HGET', q.e, id)
    local h = head(value)
    local name, run = stands(q, id, h, blob)
    if name then say(name, run or '', blob or '', value) else say('') end
    if name and has(h.mark, WAITS) then say(redis.call('HGET', q.a, id)) end
  else
    say('')
  end
end
return answer

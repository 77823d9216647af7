-- Makes dead letters due again, as if they had never run.
--
-- KEYS: the queue's.
-- ARGV: time, wake channel, the queue's name, ids.
-- Returns per id 1, 0 where there is no such dead letter, or the id of the task that holds its unique key.

local q = queue_at(1)
local wake, name = arg(), arg()
tidy(q)
promote(q)

local function revive(id)
  local kept = redis.call('ZSCORE', q.d, id)
  if not kept or tonumber(kept) <= now then return 0 end
  local value, blob = redis.call('HGET', q.m, id), redis.call('HGET', q.e, id)
  local h, s = head(value), state(blob)
  if has(h.mark, UNIQUE) then
    local key, hold = unique_key(value, h.rest)
    if hold == 0 then
      local other = holder(q, key)
      if other then return other end
      take_key(q, key, hold, id)
    end
  end
  redis.call('ZREM', q.d, id)
  redis.call('ZREM', q.dn, id)
  s.failed, s.lost, s.cancelled, s.due = 0, 0, false, now
  redis.call('HSET', q.e, id, state_blob(s))
  enter(q, id, h.priority, h.seq, now)
  q.changed = true
  return 1
end

local answers = {}
while next_arg < #ARGV do answers[#answers + 1] = revive(arg()) end
flush(q)
if q.changed then redis.call('PUBLISH', wake, name) end
return answers

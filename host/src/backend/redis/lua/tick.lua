-- Accepts the task of a schedule's tick and counts the ticks up to it as done, unless somebody else was faster.
--
-- KEYS: see accept.lua; at the end, the schedules.
-- ARGV: time, those of accept.lua, name, up to when its ticks were done, the moment of the tick, whether the task comes
--       even while the last one is unfinished (0, 1), the message.
-- Returns 0 where somebody else was faster, 1 where the task was accepted or was there, 2 where the last one is unfinished.
-- "stale" if there are queues that the caller doesn't know.

if is_stale then return 'stale' end
local plans, name, since, at, overlap = KEYS[#KEYS], arg(), number(), number(), arg() == '1'
local value = redis.call('HGET', plans, name)
local plan = value and plan_of(value)
if not plan or plan.since ~= since or at <= since then return 0 end
plan.since = at

local function is_unfinished(id)
  for _, q in ipairs(everyone) do
    if redis.call('HEXISTS', q.m, id) == 1 and not redis.call('ZSCORE', q.d, id) then return true end
  end
  return false
end
if not overlap and plan.last ~= '' and is_unfinished(plan.last) then
  redis.call('HSET', plans, name, plan_blob(plan))
  return 2
end
local q, message, id, back = everyone[1], message_of(arg()), arg(), arg()
tidy(q)
promote(q)
accept(message, id, back, 1)
flush(q)
plan.last = id
redis.call('HSET', plans, name, plan_blob(plan))
tell()
return 1

-- Ends tasks that wait, each with its effects; marks those that run.
--
-- KEYS: see accept.lua.
-- ARGV: time, those of accept.lua and ends.lua, channel of cancelled runs, the number of ends, then as in settle.lua.
-- Returns per end 0: it isn't there; 1: it is ended; 2: it runs and is marked; 3: it has another run's number. "stale" if
-- there are queues that the caller doesn't know.

if is_stale then return 'stale' end
local GONE, DONE, ASKED, MOVED = 0, 1, 2, 3
local DEAD = 1
local cancels = arg()

-- From where it waits. A list can't be asked for one of its ids: there it is counted as gone, and the next look passes it.
local function take_out(q, id, h, due)
  if redis.call('ZREM', q.s, scheduled_member(h.priority, h.seq, id)) == 1 then return end
  for parked = 0, 1 do
    if redis.call('ZREM', q['k' .. h.priority], aside_member(h, due, parked, id)) == 1 then
      local field = aside_count(h.priority, h.handler, parked)
      if redis.call('HINCRBY', q.k, field, -1) <= 0 then redis.call('HDEL', q.k, field) end
      return
    end
  end
  redis.call('HINCRBY', q.c, 'gone', 1)
  redis.call('HINCRBY', q.c, gone_field(h.priority, id), 1)
  q.shortened = q.shortened or {}
  q.shortened[h.priority] = true
end

local asked, ended = {}, {}
local function mark_run(q, id, run)
  run.mark = run.mark % CANCELLED + CANCELLED
  redis.call('HSET', q.x, id, run_blob(run))
  asked[#asked + 1] = id
  return ASKED
end

local function cancel(q, id, number, how, keep_for)
  local value, run = redis.call('HGET', q.m, id), redis.call('HGET', q.x, id)
  if not value or redis.call('ZSCORE', q.d, id) then return GONE end
  if run then
    run = run_of(run)
    return run.number == number and mark_run(q, id, run) or MOVED
  end
  local h, blob = head(value), redis.call('HGET', q.e, id)
  local s = state(blob)
  if s.run ~= number then return MOVED end
  s.due = s.due or h.due
  take_out(q, id, h, s.due)
  if how == DEAD then
    -- One that could never run stays as a dead letter.
    release_key(q, id, value)
    keep_dead(q, id, s, keep_for)
  else
    let_go(q, id, value)
    redis.call('HDEL', q.m, id)
    if blob then redis.call('HDEL', q.e, id) end
    bury(q, id, now, h.remember)
  end
  ended[#ended + 1] = id
  return DONE
end

-- The gone at the end of a list: of these nothing else is left, so the list needn't keep them until somebody looks.
local function shorten(q, priority)
  local list, passed = q['p' .. priority], 0
  local ids = redis.call('LRANGE', list, -CHUNK, -1)
  for at = #ids, 1, -1 do
    local field = gone_field(priority, ids[at])
    if not redis.call('HGET', q.c, field) or redis.call('HEXISTS', q.m, ids[at]) == 1 then break end
    pass_gone(q, field)
    passed = passed + 1
  end
  if passed > 0 then redis.call('RPOP', list, passed) end
end

local ends, first, answers = number(), next_arg, {}
next_arg = first + 2 * ends
for index = 1, ends do
  local block, number, how, span, effects, width = struct.unpack(END, ARGV[first + 2 * index - 1])
  -- The failed run of a death: one that waits has none.
  if how == DEAD then arg() end
  local answer = cancel(everyone[block], ARGV[first + 2 * index], number, how, span)
  answers[index] = answer
  if answer == DONE then
    for _ = 1, effects do apply() end
  else
    next_arg = next_arg + width
  end
end
for index = 1, count do
  for priority in pairs(everyone[index].shortened or {}) do shorten(everyone[index], priority) end
end
finish(ended)
if #asked > 0 then redis.call('PUBLISH', cancels, table.concat(asked, ' ')) end
return answers

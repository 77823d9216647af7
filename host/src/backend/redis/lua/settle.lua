-- Ends runs, each with its effects or, where the run is no longer current, not at all.
--
-- KEYS: see accept.lua.
-- ARGV: time, those of accept.lua and ends.lua, the number of ends; for each, what END describes and its id; then for
--       each again, of a death or a retry, the failed run or nothing (""), and its effects: messages (accept.lua), records
--       (keep.lua), results for a task that waits for them: 2, block and index, then id and result; and what is for a queue
--       in another slot: 3, block and, as there, what describes it, then id, and the queue's name, a NUL and the rest.
-- Returns 1 or 0 per end: whether it was written. "stale" if there are queues that the caller doesn't know.

if is_stale then return 'stale' end
local DONE, DEAD, WAIT, RETRY, PARK = 0, 1, 2, 3, 4

local function leave(q, id, run)
  if run.mark % CANCELLED >= UNIQUE then let_go(q, id, redis.call('HGET', q.m, id)) end
  q.left_ids[#q.left_ids + 1] = id
  if run.number > 1 then q.again[#q.again + 1] = id end
  if run.remember > 1 then
    local n = #q.buried
    q.buried[n + 1], q.buried[n + 2] = now + run.remember - 1, id
  end
end

-- What the task takes along into its next run, or among the dead letters.
local function changed_state(q, id, run, due)
  local s = state(run.number > 1 and redis.call('HGET', q.e, id))
  s.run, s.cancelled = run.number, run.cancelled
  s.due = due or s.due or head(redis.call('HGET', q.m, id)).due
  return s
end

-- The history gains a failed run, and loses its oldest where it would be too long.
local function add_failure(s, failed)
  if not failed or failed == '' then return end
  s.failed = s.failed + 1
  if s.count == HISTORY then
    local length, first = struct.unpack('>I4', s.history)
    s.history, s.count = string.sub(s.history, first + length), s.count - 1
  end
  s.history, s.count = s.history .. struct.pack('>I4', #failed) .. failed, s.count + 1
end

local function die(q, id, run, keep_for, failed)
  if has(run.mark, UNIQUE) then release_key(q, id, redis.call('HGET', q.m, id)) end
  local s = changed_state(q, id, run)
  add_failure(s, failed)
  keep_dead(q, id, s, keep_for)
end

-- One that is to be cancelled comes back at once: it isn't run again.
local function wait(q, id, run, after, failed)
  local s = changed_state(q, id, run, run.cancelled and now or math.min(now + after, FAR))
  add_failure(s, failed)
  redis.call('HSET', q.e, id, state_blob(s))
  enter(q, id, run.priority, run.seq, s.due)
  q.changed = true
end

local function park(q, id, run)
  local s, h = changed_state(q, id, run), head(redis.call('HGET', q.m, id))
  redis.call('HSET', q.e, id, state_blob(s))
  redis.call('ZADD', q['k' .. h.priority], 0, aside_member(h, s.due, 1, id))
  redis.call('HINCRBY', q.k, aside_count(h.priority, h.handler, 1), 1)
  q.changed = true
end

-- What is said of many ends and runs alike is read once; of a run, what follows the task's own part.
local end_of = once(function(meta)
  local block, number, how, span, effects, width = struct.unpack(END, meta)
  return { q = everyone[block], number = number, how = how, span = span, effects = effects, width = width }
end)
local run_behind = once(function(text) return run_of('......' .. text) end)

-- The record of a first run, where that is all that follows from it: most ends are such.
local function keep_first(q, id)
  local meta = ARGV[next_arg + 1]
  local record = string.byte(meta) == 1 and not foreign and record_of(meta)
  if not record or record.is_chosen or record.is_told or ARGV[next_arg + 2] ~= id then return false end
  add_first(q, record, id, ARGV[next_arg + 3], ARGV[next_arg + 4], ARGV[next_arg + 5])
  next_arg = next_arg + 5
  return true
end

-- All runs at once; of a task that is named twice, the second finds it ended.
local ends, first, sub = number(), next_arg, string.sub
for index = 1, count do everyone[index].asked, everyone[index].runs = {}, {} end
for at = first + 1, first + 2 * ends, 2 do
  local asked = end_of(ARGV[at]).q.asked
  asked[#asked + 1] = ARGV[at + 1]
end
for index = 1, count do
  local q = everyone[index]
  for at, blob in ipairs(gather('HMGET', q.x, q.asked)) do q.runs[q.asked[at]] = blob end
end

local answers, ended = {}, {}
next_arg = first + 2 * ends
for index = 1, ends do
  local e, id = end_of(ARGV[first + 2 * index - 1]), ARGV[first + 2 * index]
  local q, how = e.q, e.how
  local failed, blob = (how == DEAD or how == RETRY) and arg(), q.runs[id]
  local run = blob and run_behind(sub(blob, 7))
  if run and run.number == e.number then
    answers[index], q.runs[id], q.has_ended = 1, nil, true
    q.ended[#q.ended + 1] = id
    if how == DONE then
      leave(q, id, run)
    elseif how == DEAD then
      die(q, id, run, e.span, failed)
    elseif how == PARK and not run.cancelled then
      park(q, id, run)
    else
      wait(q, id, run_of(blob), e.span, failed)
    end
    if how <= DEAD then ended[#ended + 1] = id end
    if not (e.effects == 1 and run.number == 1 and keep_first(q, id)) then
      for _ = 1, e.effects do apply() end
    end
  else
    answers[index] = 0
    next_arg = next_arg + e.width
  end
end
for index = 1, count do
  local q = everyone[index]
  -- Where a queue is at its limit, an end makes room.
  if q.has_ended and not q.changed then q.changed = redis.call('HEXISTS', q.c, 'most') == 1 end
end
finish(ended)
return answers

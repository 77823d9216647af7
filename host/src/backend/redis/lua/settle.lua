-- Ends runs, each with its effects or, where the run is no longer current, not at all.
--
-- KEYS: see accept.lua.
-- ARGV: time, those of accept.lua, channel of ends, who settles, whether records go to another server (0, 1), the
--       number of ends; for each, what END describes and its id; then for each again the failed run where it has one,
--       and its effects: messages (accept.lua) and records (keep.lua).
-- Where nothing of these is among them, the caller needn't know the queues: it says -1.
-- Returns 1 or 0 per end: whether it was written. "stale" if there are queues that the caller doesn't know.

local channel, origin, foreign = arg(), arg(), arg() == '1'
-- Only a follow-up, or a record of a chosen id, has to look elsewhere.
if known >= 0 and redis.call('HLEN', KEYS[1]) ~= known then return 'stale' end

-- Block, run, how it ends, a span, the number of effects, that of their arguments.
local END = '>I2I4BI7I2I2'
local DONE, DEAD, WAIT, RETRY, PARK = 0, 1, 2, 3, 4

-- What is to be removed at the end: what has left the broker, and what is no longer leased.
for index = 1, count do
  local q = everyone[index]
  q.left_ids, q.again, q.ended, q.buried = {}, {}, {}, {}
  tidy(q)
  promote(q)
end
local function remove(q)
  each('HDEL', q.m, q.left_ids)
  each('HDEL', q.e, q.again)
  each('HDEL', q.x, q.ended)
  each('ZREM', q.l, q.ended)
  each('ZADD', q.t, q.buried)
  if #q.buried > 0 then q.has_tombstones = true end
  q.left_ids, q.again, q.ended, q.buried = {}, {}, {}, {}
end

-- To another server: a later record of the same task takes the place of one that hasn't left yet.
local function post(q, id, value)
  local old = redis.call('ZSCORE', q.oz, id)
  if old then redis.call('HDEL', q.o, old) end
  local letter = redis.call('HINCRBY', q.c, 'letter', 1)
  redis.call('ZADD', q.oz, letter, id)
  local _, _, rest = struct.unpack(KEPT, value)
  redis.call('HSET', q.o, letter, string.sub(value, rest))
end

local function leave(q, id, number, remember)
  q.left_ids[#q.left_ids + 1] = id
  if number > 1 then q.again[#q.again + 1] = id end
  if remember > 1 then
    local n = #q.buried
    q.buried[n + 1], q.buried[n + 2] = now + remember - 1, id
  end
end

-- What the task takes along into its next run, or among the dead letters.
local function changed_state(q, id, run, due)
  local s = state(run.number > 1 and redis.call('HGET', q.e, id))
  s.run = run.number
  s.due = due or s.due or head(redis.call('HGET', q.m, id)).due
  return s
end

local function die(q, id, run, keep_for)
  redis.call('HSET', q.e, id, state_blob(changed_state(q, id, run)))
  redis.call('ZADD', q.d, math.min(now + keep_for, FAR), id)
  redis.call('ZADD', q.dn, now, id)
  while redis.call('ZCARD', q.dn) > KEEP_DEAD do forget_dead(q, redis.call('ZRANGE', q.dn, 0, 0)[1]) end
end

local function wait(q, id, run, after, failed)
  local s = changed_state(q, id, run, math.min(now + after, FAR))
  if failed then
    s.failed = s.failed + 1
    if s.count == HISTORY then
      local length, first = struct.unpack('>I4', s.history)
      s.history, s.count = string.sub(s.history, first + length), s.count - 1
    end
    s.history, s.count = s.history .. struct.pack('>I4', #failed) .. failed, s.count + 1
  end
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

-- One effect, read from ARGV.
local function apply()
  local meta, id, value = arg(), arg(), arg()
  local kind, index = struct.unpack('>BI2', meta)
  if kind == 0 then
    -- It looks for its id where the task may just have left.
    for block = 1, count do remove(everyone[block]) end
    accept(meta, id, value, 1)
    return
  end
  local finished, kept = arg(), arg()
  if foreign then
    post(everyone[index], id, value)
  else
    add_record(everyone[index], meta, id, value, finished, kept)
  end
end

-- All runs at once; of a task that is named twice, the second finds it ended.
local ends, first = number(), next_arg
for index = 1, count do everyone[index].asked, everyone[index].runs = {}, {} end
for at = first + 1, first + 2 * ends, 2 do
  local asked = everyone[struct.unpack('>I2', ARGV[at])].asked
  asked[#asked + 1] = ARGV[at + 1]
end
for index = 1, count do
  local q = everyone[index]
  for at, blob in ipairs(gather('HMGET', q.x, q.asked)) do q.runs[q.asked[at]] = blob end
end

local answers, said = {}, {}
next_arg = first + 2 * ends
for index = 1, ends do
  local block, number, how, span, effects, width = struct.unpack(END, ARGV[first + 2 * index - 1])
  local q, id = everyone[block], ARGV[first + 2 * index]
  local failed, blob = how == RETRY and arg(), q.runs[id]
  local current, _, remember
  if blob then current, _, remember = struct.unpack(RUN, blob) end
  if current == number then
    answers[index], q.runs[id] = 1, nil
    q.ended[#q.ended + 1] = id
    if how == DONE then
      leave(q, id, number, remember)
    elseif how == DEAD then
      die(q, id, run_of(blob), span)
    elseif how == PARK then
      park(q, id, run_of(blob))
    else
      wait(q, id, run_of(blob), span, failed)
    end
    if how <= DEAD then said[#said + 1] = id end
    for _ = 1, effects do apply() end
  else
    answers[index] = 0
    next_arg = next_arg + width
  end
end
for index = 1, count do
  remove(everyone[index])
  flush(everyone[index])
  keep_all(everyone[index], known >= 0 and everyone or {})
end
tell()
if #said > 0 then redis.call('PUBLISH', channel, origin .. ' ' .. table.concat(said, ' ')) end
return answers

-- Ends runs, each with its effects or, where the run is no longer current, not at all.
--
-- KEYS: see accept.lua.
-- ARGV: time, those of accept.lua, channel of ends, who settles, whether records go to another server (0, 1), the
--       number of ends; for each: block, id, run, how ("done", "dead", "wait" or "park"), a span in ms, the failed run
--       ("" for none), the number of effects; for each of these "push" and a message, or "keep", block and a record.
-- Where nothing is pushed, the caller needn't know the queues: it says -1.
-- Returns 1 or 0 per end: whether it was written. "stale" if there are queues that the caller doesn't know.

local channel, origin, foreign = arg(), arg(), arg() == '1'

local function effects()
  local list = {}
  for index = 1, number() do
    if arg() == 'push' then
      list[index] = { message = message() }
    else
      list[index] = { queue = number(), record = read_record() }
    end
  end
  return list
end

local ends = {}
for index = 1, number() do
  ends[index] = { queue = number(), id = arg(), run = number(), how = arg(), span = number(), failed = arg(),
    effects = effects() }
end
-- Only a follow-up has to look elsewhere, for its id.
if known >= 0 and redis.call('HLEN', KEYS[1]) ~= known then return 'stale' end

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
  q.left_ids, q.again, q.ended, q.buried = {}, {}, {}, {}
end

-- To another server: a later record of the same task takes the place of one that hasn't left yet.
local function post(q, record)
  local old = redis.call('ZSCORE', q.oz, record.id)
  if old then redis.call('HDEL', q.o, old) end
  local letter = redis.call('HINCRBY', q.c, 'letter', 1)
  redis.call('ZADD', q.oz, letter, record.id)
  redis.call('HSET', q.o, letter, record.bytes)
end

local function apply(list)
  for _, effect in ipairs(list) do
    if effect.message then
      -- It looks for its id where the task may just have left.
      for index = 1, count do remove(everyone[index]) end
      accept(effect.message, 1)
    elseif foreign then
      post(everyone[effect.queue], effect.record)
    else
      keep(everyone[effect.queue], effect.record)
    end
  end
end

local function leave(q, id, run)
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
  if failed ~= '' then
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

local answers, said, asked = {}, {}, {}
-- All runs at once; of a task that is named twice, the second finds it ended.
for index = 1, count do asked[index] = { ids = {}, runs = {} } end
for _, the_end in ipairs(ends) do
  local ids = asked[the_end.queue].ids
  ids[#ids + 1] = the_end.id
end
for index = 1, count do
  for at, blob in ipairs(gather('HMGET', everyone[index].x, asked[index].ids)) do
    asked[index].runs[asked[index].ids[at]] = blob
  end
end
for index, the_end in ipairs(ends) do
  local q, runs, id = everyone[the_end.queue], asked[the_end.queue].runs, the_end.id
  local run = runs[id] and run_of(runs[id])
  answers[index] = 0
  if run and run.number == the_end.run then
    answers[index], runs[id] = 1, nil
    q.ended[#q.ended + 1] = id
    if the_end.how == 'done' then
      leave(q, id, run)
    elseif the_end.how == 'dead' then
      die(q, id, run, the_end.span)
    elseif the_end.how == 'wait' then
      wait(q, id, run, the_end.span, the_end.failed)
    else
      park(q, id, run)
    end
    if the_end.how == 'done' or the_end.how == 'dead' then said[#said + 1] = id end
    apply(the_end.effects)
  end
end
for index = 1, count do
  remove(everyone[index])
  flush(everyone[index])
  bound(everyone[index])
end
tell()
if #said > 0 then redis.call('PUBLISH', channel, origin .. ' ' .. table.concat(said, ' ')) end
return answers

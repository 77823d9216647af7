-- One look at one queue: takes back leases that ran out, promotes what is due, takes tasks.
--
-- KEYS: the queue's.
-- ARGV: time, wake channel, the queue's name, worker, lease in ms, how many, the newest format that the worker reads,
--       "strict" or "weighted", three random numbers in 0..1, the number of handlers, for each its name and room.
-- Returns: now; 1 if there is more to do at once, and 2 more if follow-ups wait for their way; when something is due or runs out next (0 for nothing known);
--          1 if there are tasks that have run before; then per task: id, m, its e ("" for none) if there are such, and,
--          where it waited for results, these (false for too many).

local sub, find = string.sub, string.find
local q = queue_at(1)
local wake, name, worker = arg(), arg(), arg()
local lease, max, format, order = number(), number(), number(), arg()
local dice = { number(), number(), number() }
local room, handlers = {}, {}
for index = 1, number() do
  handlers[index] = arg()
  room[handlers[index]] = number()
end

-- Whether any task has run before.
local has_past
-- Other workers may want what was moved.
local moved, unfinished = false, false
-- So many tasks may be moved aside, and so many bytes taken, by one look.
local budget, bytes = CHUNK, 8 * 1024 * 1024
-- So many were taken; the first of the answer are known at the end.
local got, answer, runs, leases = 0, { 0, 0, 0, 0 }, {}, {}
-- What holds for the queue; how many in its lists are gone.
local gone, paused, rate, reached, most = unpack(redis.call('HMGET', q.c, 'gone', 'paused', 'rate', 'reached', 'most'))
-- Written once: Redis is slow to write numbers.
local lease_end = string.format('%.0f', now + lease)
local aside, counts = { {}, {}, {} }, {}

-- The loss is counted, and the task due again, later and later.
local function take_back()
  local ids = past(q.l)
  if #ids == 0 then return end
  local held, blobs = gather('HMGET', q.x, ids), gather('HMGET', q.e, ids)
  local states, due = {}, {}
  for index, id in ipairs(ids) do
    if held[index] then
      local run, s = run_of(held[index]), state(blobs[index])
      s.run, s.lost = run.number, s.lost + 1
      -- One that is to be cancelled needn't wait: it isn't run again.
      s.cancelled = run.cancelled
      s.due = s.cancelled and now or now + math.min(250 * 8 ^ (s.lost - 1), 3600000)
      states[#states + 1], states[#states + 2] = id, state_blob(s)
      due[#due + 1], due[#due + 2] = s.due, scheduled_member(run.priority, run.seq, id)
    end
  end
  each('HSET', q.e, states)
  each('ZADD', q.s, due)
  redis.call('HDEL', q.x, unpack(ids))
  redis.call('ZREM', q.l, unpack(ids))
  moved, unfinished = true, #ids == CHUNK
end

-- What a task waited for: false where it was too much.
local function arrived(id)
  local want, _, size = struct.unpack(WAITING, redis.call('HGET', q.a, id))
  bytes = bytes - size
  return size <= UPSTREAM and gather('HMGET', q.a, result_fields(id, want))
end

-- What stands in m between the front and the envelope, or the unique key: the same for most of a queue's tasks. `run`: x
-- of a first run, but for what is the task's own.
local kind = once(function(text)
  local mark, format, remember, handler = struct.unpack('>BBI7s', text)
  local run = run_blob({ seq = 0, number = 1, since = now, remember = remember, mark = mark, worker = worker })
  return { mark = mark, format = format, remember = remember, handler = handler, run = sub(run, 7) }
end)
local function kind_of(value)
  return kind(sub(value, 20, find(value, '\0', 29, true)))
end

local function deliver(id, value, blob, k)
  local n, run = 2 * got, k.run
  if blob then
    local before, _, _, _, count = struct.unpack(STATE, blob)
    local mark = k.mark + (has(count, CANCELLED) and CANCELLED or 0)
    run = run_blob({ seq = 0, number = before + 1, since = now, remember = k.remember, mark = mark, worker = worker })
    run = sub(run, 7)
  end
  runs[n + 1], runs[n + 2] = id, sub(value, 1, 6) .. run
  leases[n + 1], leases[n + 2] = lease_end, id
  n = #answer
  answer[n + 1], answer[n + 2] = id, value
  if has_past then answer[n + 3] = blob or '' end
  if k.mark >= WAITS then answer[#answer + 1] = arrived(id) end
  bytes, got = bytes - #value, got + 1
end

local function count(priority, handler, parked, by)
  local field = aside_count(priority, handler, parked)
  counts[field] = (counts[field] or 0) + by
end

-- The handlers that have something aside in this priority, as far as the worker has room for them.
local function handlers_aside(priority)
  local able, fields = {}, {}
  for _, handler in ipairs(handlers) do
    if room[handler] > 0 then
      able[#able + 1] = handler
      fields[#fields + 1], fields[#fields + 2] = aside_count(priority, handler, 0), aside_count(priority, handler, 1)
    end
  end
  local numbers, found = gather('HMGET', q.k, fields), {}
  for index, handler in ipairs(able) do
    if numbers[2 * index - 1] or numbers[2 * index] then found[#found + 1] = handler end
  end
  return found
end

-- What waits aside, the oldest first.
local function take_aside(priority, want)
  local able, heads = handlers_aside(priority), {}
  local most = math.max(1, math.floor(CHUNK / math.max(1, #able)))
  for _, handler in ipairs(able) do
    local upto = format < 255 and '\0' .. string.char(format + 1) or '\1'
    local members = redis.call('ZRANGEBYLEX', q['k' .. priority], '[' .. handler .. '\0', '(' .. handler .. upto,
      'LIMIT', 0, math.min(want, room[handler], most))
    for _, member in ipairs(members) do
      local _, due, seq, parked, rest = struct.unpack(ASIDE, member, #handler + 2)
      heads[#heads + 1] = { member = member, handler = handler, due = due, seq = seq, parked = parked,
        id = string.sub(member, rest) }
    end
  end
  table.sort(heads, function(a, b) return a.due < b.due or (a.due == b.due and a.seq < b.seq) end)
  local before = got
  for index = 1, math.min(want, #heads) do
    if bytes <= 0 then break end
    local entry = heads[index]
    local value = redis.call('HGET', q.m, entry.id)
    redis.call('ZREM', q['k' .. priority], entry.member)
    count(priority, entry.handler, entry.parked, -1)
    if value then
      room[entry.handler] = room[entry.handler] - 1
      deliver(entry.id, value, has_past and redis.call('HGET', q.e, entry.id), kind_of(value))
    end
  end
  return got - before
end

-- Out of the way of those behind it, until a worker with room for it looks.
local function put_aside(id, h, blob)
  local parked = (h.format > format or not room[h.handler]) and 1 or 0
  local list = aside[h.priority + 1]
  list[#list + 1], list[#list + 2] = 0, aside_member(h, blob and state(blob).due or h.due, parked, id)
  count(h.priority, h.handler, parked, 1)
  budget, moved = budget - 1, true
end

-- Whether this is a place in the list of a task that was cancelled there; if so, it is passed.
local function is_gone(priority, id)
  local field = gone_field(priority, id)
  if redis.call('HEXISTS', q.c, field) == 0 then return false end
  pass_gone(q, field)
  return true
end

-- What is due, the oldest first; what the worker can't run is moved aside.
local function take_due(priority, want)
  local list, upto = q['p' .. priority], got + want
  local step = math.min(want, 50)
  while got < upto and bytes > 0 do
    local ids, used = redis.call('LRANGE', list, 0, step - 1), 0
    if #ids == 0 then break end
    -- A task may have 4 MiB: of large ones few are read at a time.
    if redis.call('HSTRLEN', q.m, ids[1]) > 65536 then ids = { unpack(ids, 1, 4) } end
    local values, blobs = redis.call('HMGET', q.m, unpack(ids)), has_past and redis.call('HMGET', q.e, unpack(ids)) or {}
    for index, id in ipairs(ids) do
      if got == upto or budget == 0 or bytes <= 0 then break end
      used = used + 1
      local value = values[index]
      if gone and is_gone(priority, id) then
        budget = budget - 1
      elseif value then
        local k = kind_of(value)
        local left = room[k.handler]
        if left and left > 0 and k.format <= format then
          room[k.handler] = left - 1
          deliver(id, value, blobs[index], k)
        else
          put_aside(id, head(value), blobs[index])
        end
      end
    end
    if used > 0 then redis.call('LPOP', list, used) end
    if budget == 0 then
      unfinished = true
      break
    end
    step = 50
  end
  return got - (upto - want)
end

local has_aside = redis.call('EXISTS', q.k) == 1
local function take(priority, want)
  local aside = has_aside and take_aside(priority, want) or 0
  return aside < want and aside + take_due(priority, want - aside) or aside
end

-- broker/shares.rs, in this language: so many of `max` for each, in proportion to `weights`, in the order in which they are
-- asked.
local function shares(weights, max, throw)
  local total, reached, given_out, found = 0, math.min(throw, 1 - 1e-9), 0, {}
  for _, weight in ipairs(weights) do total = total + weight end
  local first, at = math.floor(reached * 65537 % 1 * max), nil
  for index, weight in ipairs(weights) do
    if weight > 0 then
      reached = reached + weight / total * max
      local upto = math.min(math.floor(reached), max)
      found[#found + 1], given_out = { index = index, want = upto - given_out }, upto
      if not at and first < given_out then at = #found end
    end
  end
  found[#found].want = found[#found].want + max - given_out
  local turned = {}
  for n = 0, #found - 1 do turned[n + 1] = found[((at or #found) - 1 + n) % #found + 1] end
  return turned
end

-- So many more may be taken now.
local function allowed()
  if paused then return 0 end
  local free = most and math.max(most - redis.call('ZCARD', q.l), 0) or max
  if not rate then return free end
  local _, _, interval, burst = struct.unpack(RATE, rate)
  local ahead = math.max((reached or 0) - now * 1000, 0)
  return math.min(free, math.floor(math.max(burst * interval - ahead, 0) / interval))
end

take_back()
max = math.min(max, allowed())
unfinished = promote(q) or unfinished
tidy(q)
has_past = redis.call('EXISTS', q.e) == 1
if order == 'strict' then
  for priority = 0, 2 do
    if got < max then take(priority, max - got) end
  end
else
  local weights = { 6, 3, 1 }
  for round = 1, 3 do
    if got == max or weights[1] + weights[2] + weights[3] == 0 then break end
    for _, share in ipairs(shares(weights, max - got, dice[round])) do
      local index, want = share.index, share.want
      if want > 0 and take(index - 1, want) < want then weights[index] = 0 end
    end
  end
end

each('HSET', q.x, runs)
each('ZADD', q.l, leases)
for priority = 0, 2 do each('ZADD', q['k' .. priority], aside[priority + 1]) end
for field, by in pairs(counts) do
  if by ~= 0 and redis.call('HINCRBY', q.k, field, by) <= 0 then redis.call('HDEL', q.k, field) end
end
if moved then redis.call('PUBLISH', wake, name) end
if rate and got > 0 then
  local _, _, interval = struct.unpack(RATE, rate)
  redis.call('HSET', q.c, 'reached', string.format('%.0f', math.max(reached or 0, now * 1000) + got * interval))
end

-- When the rate allows a task that is due.
local function opens()
  local _, _, interval, burst = struct.unpack(RATE, rate)
  local at = math.ceil(((reached or 0) - (burst - 1) * interval) / 1000)
  return at > now and redis.call('EXISTS', q.k, q.p0, q.p1, q.p2) > 0 and at or nil
end

-- When to look again, if nobody changes anything.
local function next_look()
  local found = 0
  local function look(at)
    if at and (found == 0 or at < found) then found = at end
  end
  look(tonumber(redis.call('ZRANGE', q.l, 0, 0, 'WITHSCORES')[2]))
  if not paused then
    look(tonumber(redis.call('ZRANGE', q.s, 0, 0, 'WITHSCORES')[2]))
    if rate then look(opens()) end
  end
  return found
end
answer[1], answer[2], answer[3] = now, unfinished and 1 or 0, got == 0 and next_look() or 0
answer[4] = has_past and 1 or 0
if redis.call('EXISTS', q.n) == 1 then answer[2] = answer[2] + 2 end
return answer

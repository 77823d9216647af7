-- The beginning of every script. scripts.rs puts the limits (KEEP_DONE, KEEP_DEAD, RETENTION, HISTORY, FAR) before it, and queue_at(first):
-- the queue whose PARTS parts have their keys from KEYS[first] on; `lists` is what is to be appended to p0..p2 at the end.
--
-- ARGV begins with the time: "+N" for the server's clock set forward by N ms (0 but in tests), "=N" for the time N.
-- KEYS name whole queues: a block of PARTS keys for each. All times are Unix milliseconds.

-- What `unpack` and one call may be given; no step of a script does more than this many.
local CHUNK = 1000

local next_arg = 0
local function arg()
  next_arg = next_arg + 1
  return ARGV[next_arg]
end
local function number()
  return tonumber(arg())
end

local given = arg()
local now = tonumber(string.sub(given, 2))
if string.sub(given, 1, 1) == '+' then
  local time = redis.call('TIME')
  now = now + time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What has become due, or whose time is over: a bounded number. In text, for Redis is slow to write numbers.
local NOW = string.format('%.0f', now)
local function past(order, most)
  return redis.call('ZRANGEBYSCORE', order, '-inf', NOW, 'LIMIT', '0', most or '1000')
end

-- One call with a list of any length, in pieces.
local function each(command, key, list)
  for from = 1, #list, CHUNK do
    redis.call(command, key, unpack(list, from, math.min(from + CHUNK - 1, #list)))
  end
end

-- The same, with the answers, one per element: false for what isn't there.
local function gather(command, key, list)
  if #list <= CHUNK then return #list > 0 and redis.call(command, key, unpack(list)) or {} end
  local found = {}
  for from = 1, #list, CHUNK do
    local part = redis.call(command, key, unpack(list, from, math.min(from + CHUNK - 1, #list)))
    for index = 1, #part do found[from + index - 1] = part[index] end
  end
  return found
end

-- What is rare stands in bits of a byte that every task has, so that it costs the others nothing: whether the task has a
-- unique key, waits for results, is to be cancelled. The rest of the byte is its priority, or the length of a history.
local UNIQUE, WAITS, CANCELLED = 4, 8, 128
local function has(mark, bit)
  return mark % (2 * bit) >= bit
end

-- m: what a task is: what the script that accepts it knows, then what its producer says, then its unique key where it
-- has one, then the envelope. `remember`: 0 for a generated id, otherwise one more than the milliseconds.
local FRONT, HEAD = '>I6I6I7', '>I6I6I7BBI7s'
local function head(value)
  local seq, enqueued, due, mark, format, remember, handler, rest = struct.unpack(HEAD, value)
  return { seq = seq, enqueued = enqueued, due = due, mark = mark, priority = mark % 4, format = format,
    remember = remember, handler = handler, rest = rest }
end

-- How long a unique key is held: 0 for as long as the task is unfinished, otherwise one more than the milliseconds; the
-- length of the key, which follows.
local KEY = '>I7I2'
local function unique_key(value, from)
  local hold, length, rest = struct.unpack(KEY, value, from)
  return string.sub(value, rest, rest + length - 1), hold
end

-- e: what has happened to a task that didn't end with its first run: `count` failed runs follow, each with its length.
local STATE = '>I4I4I4I7B'
local function state(blob)
  if not blob then return { run = 0, failed = 0, lost = 0, count = 0, history = '' } end
  local run, failed, lost, due, count, rest = struct.unpack(STATE, blob)
  return { run = run, failed = failed, lost = lost, due = due, count = count % CANCELLED,
    cancelled = has(count, CANCELLED), history = string.sub(blob, rest) }
end
local function state_blob(s)
  return struct.pack(STATE, s.run, s.failed, s.lost, s.due, s.count + (s.cancelled and CANCELLED or 0)) .. s.history
end

-- x: a run, with what its end has to know of the task; the worker follows. Behind the first six bytes, which are those of
-- m, all that a look takes is much alike, so that it need be written and read only once. NULs make it longer than the 64
-- bytes up to which Redis keeps a small hash as a list, and walks over all that runs for each that ends.
local RUN, LISTED = '>I6I4I6I7B', 64
local function run_of(blob)
  local seq, number, since, remember, mark, rest = struct.unpack(RUN, blob)
  return { seq = seq, number = number, since = since, remember = remember, mark = mark, priority = mark % 4,
    cancelled = has(mark, CANCELLED), worker = string.match(blob, '^%Z*', rest) }
end
local function run_blob(run)
  local blob = struct.pack(RUN, run.seq, run.number, run.since, run.remember, run.mark) .. run.worker
  return blob .. string.rep('\0', LISTED + 1 - #blob)
end

-- Reads each text once with `read`, for texts that come again and again.
local function once(read)
  local known = {}
  return function(text)
    local found = known[text]
    if not found then
      found = read(text)
      known[text] = found
    end
    return found
  end
end

-- r: the run, and until when the record is kept; the record follows.
local KEPT = '>I4I7'

-- c: how many tasks may come in a time: how many, in how many microseconds, how many microseconds each takes, how many at
-- once.
local RATE = '>I4I7I7I4'

-- n: a follow-up: the lengths of the two that follow, what describes it, its id; then the queue's name, a NUL and the rest.
local FOLLOW_UP = '>I2I2'

-- s: by due time; among those due at once, by priority and order of acceptance.
local function scheduled_member(priority, seq, id)
  return struct.pack('>BI6', priority, seq) .. id
end

-- k0..k2: by handler, then format, due time and order of acceptance, so that a caller reads what it can run in order.
local ASIDE = '>BI7I6B'
local function aside_member(h, due, parked, id)
  return h.handler .. '\0' .. struct.pack(ASIDE, h.format, due, h.seq, parked) .. id
end
local function aside_count(priority, handler, parked)
  return priority .. ':' .. handler .. ':' .. parked
end

-- Puts a task where it waits; flush() writes what is due. Where more is due than was promoted, it comes after that.
local function enter(q, id, priority, seq, due)
  if due <= now and not q.behind then
    local list = q.lists[priority + 1]
    list[#list + 1] = id
  else
    redis.call('ZADD', q.s, due, scheduled_member(priority, seq, id))
  end
end
local function flush(q)
  for priority = 0, 2 do each('RPUSH', q['p' .. priority], q.lists[priority + 1]) end
  q.lists = { {}, {}, {} }
end

-- Moves what has become due to the lists, before anything newer is put there; true if there may be more.
local function promote(q)
  local due = past(q.s)
  q.behind = #due == CHUNK
  if #due == 0 then return false end
  for _, member in ipairs(due) do
    local list = q.lists[string.byte(member) + 1]
    list[#list + 1] = string.sub(member, 8)
  end
  flush(q)
  redis.call('ZREM', q.s, unpack(due))
  return q.behind
end

-- u: who holds a unique key, behind until when: 0 for as long as the task is unfinished. Those that are held for a time
-- stand among the tombstones, which are dropped by time, too: no id begins with a NUL.
local HOLDER = '>I7'
local function holder(q, key)
  local held = redis.call('HGET', q.u, key)
  if not held then return nil end
  local kept, rest = struct.unpack(HOLDER, held)
  return (kept == 0 or kept > now) and string.sub(held, rest) or nil
end
local function take_key(q, key, hold, id)
  local kept = hold > 0 and math.min(now + hold - 1, FAR) or 0
  redis.call('HSET', q.u, key, struct.pack(HOLDER, kept) .. id)
  if kept > 0 then
    redis.call('ZADD', q.t, kept, '\0' .. key)
    q.has_tombstones = true
  else
    redis.call('ZREM', q.t, '\0' .. key)
  end
end
local function release_key(q, id, value)
  local h = head(value)
  if not has(h.mark, UNIQUE) then return end
  local key = unique_key(value, h.rest)
  if redis.call('HGET', q.u, key) == struct.pack(HOLDER, 0) .. id then redis.call('HDEL', q.u, key) end
end

-- a: how many results a task waits for, how many came, and how many bytes they are; beside it, each result by its index.
local WAITING = '>I4I4I6'
local function result_field(id, index)
  return struct.pack('>BI4', 0, index) .. id
end
local function result_fields(id, want)
  local fields = {}
  for index = 0, want - 1 do fields[index + 1] = result_field(id, index) end
  return fields
end

-- The task leaves: what it had beside m.
local function let_go(q, id, value)
  release_key(q, id, value)
  local waiting = has(head(value).mark, WAITS) and redis.call('HGET', q.a, id)
  if waiting then
    each('HDEL', q.a, result_fields(id, struct.unpack(WAITING, waiting)))
    redis.call('HDEL', q.a, id)
  end
end

-- c: of a task that was cancelled in a list, the id stays there; how many do, in all and by priority and id. They come
-- before that id's later ones.
local function gone_field(priority, id)
  return 'gone:' .. priority .. id
end
local function pass_gone(q, field)
  for _, counter in ipairs({ field, 'gone' }) do
    if redis.call('HINCRBY', q.c, counter, -1) <= 0 then redis.call('HDEL', q.c, counter) end
  end
end

-- The id stays taken.
local function bury(q, id, ended_at, remember)
  if remember > 0 and ended_at + remember - 1 > now then
    redis.call('ZADD', q.t, ended_at + remember - 1, id)
    q.has_tombstones = true
  end
end

local function forget_dead(q, id)
  local since, value = redis.call('ZSCORE', q.dn, id), redis.call('HGET', q.m, id)
  redis.call('ZREM', q.d, id)
  redis.call('ZREM', q.dn, id)
  redis.call('HDEL', q.m, id)
  redis.call('HDEL', q.e, id)
  if value then let_go(q, id, value) end
  if since and value then bury(q, id, tonumber(since), head(value).remember) end
end

local function forget_results(q, ids)
  if #ids == 0 then return end
  redis.call('HDEL', q.r, unpack(ids))
  for _, order in ipairs({ q.f, q.fd, q.fo, q.fx }) do redis.call('ZREM', order, unpack(ids)) end
end

-- Drops what has been kept long enough: a bounded number, the rest with the next calls. Readers look at the times.
local function tidy(q)
  local ids, keys = past(q.t), {}
  if #ids > 0 then redis.call('ZREM', q.t, unpack(ids)) end
  for _, id in ipairs(ids) do
    if string.byte(id) == 0 then keys[#keys + 1] = string.sub(id, 2) end
  end
  each('HDEL', q.u, keys)
  forget_results(q, past(q.f))
  -- When a task ended whose record is kept as long as is usual, up to now.
  local usually = string.format('%.0f', now - RETENTION)
  forget_results(q, redis.call('ZRANGEBYSCORE', q.fd, '-inf', usually, 'LIMIT', '0', '1000'))
  for _, id in ipairs(past(q.d, '100')) do forget_dead(q, id) end
end

-- Whether a queue holds the id: a task, a dead letter or a tombstone.
local function holds(q, id)
  local buried = redis.call('ZSCORE', q.t, id)
  if buried and tonumber(buried) > now then return true end
  if redis.call('HEXISTS', q.m, id) == 0 then return false end
  local kept = redis.call('ZSCORE', q.d, id)
  if not kept or tonumber(kept) > now then return true end
  -- A dead letter whose time is over, but that nobody dropped yet: what it will leave decides.
  local since, remember = redis.call('ZSCORE', q.dn, id), head(redis.call('HGET', q.m, id)).remember
  return remember > 0 and tonumber(since) + remember - 1 > now
end

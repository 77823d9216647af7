-- The second part of the scripts that accept tasks. They begin with KEYS[1], the queues, then blocks of the queues that
-- they write to, then those of HELD (layout.rs) of each of the others, where an id may be held. Who looks for no id
-- elsewhere needs no others, and gives any key of a block for KEYS[1]: then all are of one slot where the blocks are.
-- ARGV: wake channel, how many queues the caller knows (-1: they don't matter), the number of its blocks, the name of each.
--
-- A message is three arguments: what MESSAGE describes, id, and the value of m behind its front.

local wake, known, count = arg(), number(), number()
local is_stale = known >= 0 and redis.call('HLEN', KEYS[1]) ~= known
local everyone, names = {}, {}
for index = 1, count do
  everyone[index] = queue_at(2 + (index - 1) * PARTS)
  names[index] = arg()
end
for first = 2 + count * PARTS, #KEYS - 8, 9 do
  everyone[#everyone + 1] = { m = KEYS[first], t = KEYS[first + 1], d = KEYS[first + 2], dn = KEYS[first + 3],
    r = KEYS[first + 4], f = KEYS[first + 5], fd = KEYS[first + 6], fo = KEYS[first + 7], fx = KEYS[first + 8] }
end

-- 0, block, priority, how it is accepted, what the last number is, that number. How: whether the id was chosen (0, 1), and
-- 2 more for one that has a unique key or waits for results. The number: when it is due from now on (0) or as a date (1),
-- or how many results it waits for (2).
local MESSAGE = '>BI2BBBI7'
local SPECIAL, AT_TIME, WAITING_FOR = 2, 1, 2
local message_of = once(function(meta)
  local _, index, priority, how, kind, last = struct.unpack(MESSAGE, meta)
  local due = last
  if kind == WAITING_FOR then due = FAR elseif kind ~= AT_TIME then due = math.min(now + last, FAR) end
  due = math.max(due, now)
  return { index = index, q = everyone[index], priority = priority, is_plain = how == 0, is_chosen = how % SPECIAL == 1,
    is_special = how >= SPECIAL, want = kind == WAITING_FOR and last, due = due, times = struct.pack('>I6I7', now, due) }
end)

-- Numbers the tasks of a queue in the order of acceptance; `ahead`: so many are taken at once.
local function sequence(q, ahead)
  if (q.left or 0) == 0 then
    q.last, q.left = redis.call('HINCRBY', q.c, 'seq', ahead) - ahead, ahead
  end
  q.last, q.left = q.last + 1, q.left - 1
  return q.last
end

local function is_buried(q, id)
  if q.has_tombstones == nil then q.has_tombstones = redis.call('EXISTS', q.t) == 1 end
  local buried = q.has_tombstones and redis.call('ZSCORE', q.t, id)
  return buried and tonumber(buried) > now
end

-- What few tasks have: the id of the one that holds its unique key, if any; otherwise it holds the key now.
local function take_special(q, id, back, want)
  local mark, _, _, _, rest = struct.unpack('>BBI7s', back)
  if has(mark, UNIQUE) then
    local key, hold = unique_key(back, rest)
    local other = holder(q, key)
    if other then return other end
    take_key(q, key, hold, id)
  end
  if want then redis.call('HSET', q.a, id, struct.pack(WAITING, want, 0, 0)) end
end

-- 1 if the message became a task, 0 if its id is taken, an id if that task holds its unique key. A generated id is looked
-- for only where it would stand.
local function accept(message, id, back, ahead)
  local q = message.q
  if message.is_chosen then
    for other = 1, #everyone do
      if other ~= message.index and holds(everyone[other], id) then return 0 end
    end
    if is_buried(q, id) then return 0 end
  end
  if message.is_special then
    if holds(q, id) then return 0 end
    if redis.call('HEXISTS', q.m, id) == 1 then forget_dead(q, id) end
    local other = take_special(q, id, back, message.want)
    if other then return other end
  end
  local value = struct.pack('>I6', sequence(q, ahead)) .. message.times .. back
  if redis.call('HSETNX', q.m, id, value) == 0 then
    if holds(q, id) then return 0 end
    forget_dead(q, id)
    redis.call('HSET', q.m, id, value)
  end
  enter(q, id, message.priority, q.last, message.due)
  q.changed = true
  return 1
end

-- Says in which queues something waits that a waiting worker may want.
local function tell()
  local changed = {}
  for index = 1, count do
    if everyone[index].changed then changed[#changed + 1] = names[index] end
  end
  if #changed > 0 then redis.call('PUBLISH', wake, table.concat(changed, ' ')) end
end

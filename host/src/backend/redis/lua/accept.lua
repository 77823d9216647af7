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
  everyone[index] = queue_at(2 + (index - 1) * #PARTS)
  names[index] = arg()
end
for first = 2 + count * #PARTS, #KEYS - 7, 8 do
  everyone[#everyone + 1] = { m = KEYS[first], t = KEYS[first + 1], d = KEYS[first + 2], dn = KEYS[first + 3],
    r = KEYS[first + 4], f = KEYS[first + 5], fd = KEYS[first + 6], fx = KEYS[first + 7] }
end

-- 0, block, priority, how it is accepted, what the last number is, that number. How: whether the id was chosen (0, 1), and
-- 2 more for one that has a unique key or waits for results. The number: when it is due from now on (0) or as a date (1),
-- or how many results it waits for (2).
local MESSAGE = '>BI2BBBI7'
local SPECIAL = 2

local function due_at(is_date, due)
  if is_date == 0 then due = math.min(now + due, FAR) end
  return math.max(due, now)
end

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
local function take_special(q, id, back, is_date, want)
  local mark, _, _, _, rest = struct.unpack('>BBI7s', back)
  if has(mark, UNIQUE) then
    local key, hold = unique_key(back, rest)
    local other = holder(q, key)
    if other then return other end
    take_key(q, key, hold, id)
  end
  if is_date == 2 then redis.call('HSET', q.a, id, struct.pack(WAITING, want, 0, 0)) end
end

-- 1 if the message became a task, 0 if its id is taken, an id if that task holds its unique key. A generated id is looked
-- for only where it would stand.
local function accept(meta, id, back, ahead)
  local _, index, priority, how, is_date, due = struct.unpack(MESSAGE, meta)
  local q = everyone[index]
  if how % SPECIAL == 1 then
    for other = 1, #everyone do
      if other ~= index and holds(everyone[other], id) then return 0 end
    end
    if is_buried(q, id) then return 0 end
  end
  if how >= SPECIAL then
    if holds(q, id) then return 0 end
    if redis.call('HEXISTS', q.m, id) == 1 then forget_dead(q, id) end
    local other = take_special(q, id, back, is_date, due)
    if other then return other end
  end
  due = is_date == 2 and FAR or due_at(is_date, due)
  local value = struct.pack(FRONT, sequence(q, ahead), now, due) .. back
  if redis.call('HSETNX', q.m, id, value) == 0 then
    if holds(q, id) then return 0 end
    forget_dead(q, id)
    redis.call('HSET', q.m, id, value)
  end
  enter(q, id, priority, q.last, due)
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

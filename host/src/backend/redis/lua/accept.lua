-- The second part of the scripts that accept tasks. They begin with KEYS[1], the queues, then blocks of the queues that
-- they write to, then m, t, d, dn of each of the others, where an id may be held.
-- ARGV: wake channel, how many queues the caller knows, the number of its blocks, the name of each.

local wake, known, count = arg(), number(), number()
local everyone, names = {}, {}
for index = 1, count do
  everyone[index] = queue_at(2 + (index - 1) * #PARTS)
  names[index] = arg()
end
for first = 2 + count * #PARTS, #KEYS, 4 do
  everyone[#everyone + 1] = { m = KEYS[first], t = KEYS[first + 1], d = KEYS[first + 2], dn = KEYS[first + 3] }
end

-- Reads a message from ARGV: block, id, handler, priority, format, due ("+ms" from now, or "=ms"), remember, whether
-- the id was chosen (0, 1), envelope.
local function message()
  local m = { queue = number(), id = arg(), handler = arg(), priority = number(), format = number(), due = arg(),
    remember = number(), chosen = arg() == '1', envelope = arg() }
  local due = tonumber(string.sub(m.due, 2))
  if string.sub(m.due, 1, 1) == '+' then due = math.min(now + due, FAR) end
  m.due = math.max(due, now)
  return m
end

-- Numbers the tasks of a queue in the order of acceptance; `ahead`: so many are taken at once.
local function sequence(q, ahead)
  if (q.left or 0) == 0 then
    q.last, q.left = redis.call('HINCRBY', q.c, 'seq', ahead) - ahead, ahead
  end
  q.last, q.left = q.last + 1, q.left - 1
  return q.last
end

-- 1 if the message became a task, 0 if its id is taken. A generated id is looked for only where it would stand.
local function accept(m, ahead)
  local q = everyone[m.queue]
  if m.chosen then
    for _, other in ipairs(everyone) do
      if holds(other, m.id) then return 0 end
    end
  end
  local value = struct.pack(HEAD, m.priority, m.format, sequence(q, ahead), now, m.due, m.remember, m.handler)
    .. m.envelope
  if redis.call('HSETNX', q.m, m.id, value) == 0 then
    if holds(q, m.id) then return 0 end
    forget_dead(q, m.id)
    redis.call('HSET', q.m, m.id, value)
  end
  enter(q, m.id, m.priority, q.last, m.due)
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

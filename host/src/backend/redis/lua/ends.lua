-- The last part but one of the scripts that end tasks. Behind the arguments of accept.lua come the channel of ends, who asks, and
-- whether records go to another server (0, 1).

local channel, origin, foreign = arg(), arg(), arg() == '1'

-- An end: block, run, how it ends, a span, the number of effects, that of their arguments.
local END = '>I2I4BI7I2I2'

-- What is to be removed at the end: what has left the broker, and what is no longer leased.
for index = 1, is_stale and 0 or count do
  local q = everyone[index]
  q.left_ids, q.again, q.ended, q.buried = {}, {}, {}, {}
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

-- The task stays as a dead letter, and the oldest makes room for it.
local function keep_dead(q, id, s, keep_for)
  redis.call('HSET', q.e, id, state_blob(s))
  redis.call('ZADD', q.d, math.min(now + keep_for, FAR), id)
  redis.call('ZADD', q.dn, now, id)
  while redis.call('ZCARD', q.dn) > KEEP_DEAD do forget_dead(q, redis.call('ZRANGE', q.dn, 0, 0)[1]) end
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

-- For a queue in another slot: it stays here until somebody has brought it there (follow_ups.lua). What is due some time
-- from now is due at that date, however long that takes.
local function send_later(q, meta, id, value)
  if string.byte(meta) == 0 then
    local kind, block, priority, how, is_date, due = struct.unpack(MESSAGE, meta)
    if is_date == 0 then meta = struct.pack(MESSAGE, kind, block, priority, how, 1, math.min(now + due, FAR)) end
  end
  local letter = redis.call('HINCRBY', q.c, 'letter', 1)
  redis.call('HSET', q.n, letter, struct.pack(FOLLOW_UP, #meta, #id) .. meta .. id .. value)
end

-- One effect, read from ARGV.
local function apply()
  local meta, id, value = arg(), arg(), arg()
  local kind, index = struct.unpack('>BI2', meta)
  local q = everyone[index]
  if kind == 0 then
    -- It looks for its id where the task may just have left.
    for block = 1, count do remove(everyone[block]) end
    accept(message_of(meta), id, value, 1)
  elseif kind == 2 then
    arrive(q, id, struct.unpack('>I4', meta, 4), value)
  elseif kind == 3 then
    send_later(q, string.sub(meta, 4), id, value)
  else
    local finished, kept = arg(), arg()
    if foreign or string.byte(meta, 5) >= TOLD then post(q, id, value) end
    if not foreign then add_record(q, meta, id, value, finished, kept) end
  end
end

-- Writes what is left to write, and tells of it. `ended`: ids.
local function finish(ended)
  for index = 1, count do
    remove(everyone[index])
    flush(everyone[index])
    keep_all(everyone[index], known >= 0 and everyone or {})
  end
  tell()
  if #ended > 0 then redis.call('PUBLISH', channel, origin .. ' ' .. table.concat(ended, ' ')) end
end

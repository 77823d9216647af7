-- The third part of the scripts that end tasks. Behind the arguments of accept.lua come the channel of ends, who asks, and
-- whether records go to another server (0, 1).

local channel, origin, foreign = arg(), arg(), arg() == '1'
-- Only a follow-up, or a record of a chosen id, has to look elsewhere: else the caller says -1.
local is_stale = known >= 0 and redis.call('HLEN', KEYS[1]) ~= known

-- An end: block, run, how it ends, a span, the number of effects, that of their arguments.
local END = '>I2I4BI7I2I2'

-- What is to be removed at the end: what has left the broker, and what is no longer leased.
for index = 1, is_stale and 0 or count do
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

-- The task that waited for results has all of them.
local function come_due(q, id)
  local value = redis.call('HGET', q.m, id)
  local h = head(value)
  if redis.call('ZREM', q.s, scheduled_member(h.priority, h.seq, id)) == 0 then return end
  redis.call('HSET', q.m, id, struct.pack(FRONT, h.seq, h.enqueued, now) .. string.sub(value, 20))
  enter(q, id, h.priority, h.seq, now)
  q.changed = true
end

-- The first of each index counts. When they are too many bytes together, only that they came is kept.
local function arrive(q, id, index, result)
  local waiting = redis.call('HGET', q.a, id)
  if not waiting then return end
  local want, got, bytes = struct.unpack(WAITING, waiting)
  if index >= want or redis.call('HSETNX', q.a, result_field(id, index), result) == 0 then return end
  bytes, got = math.min(bytes + #result, FAR), got + 1
  if bytes > UPSTREAM then
    local fields, blanks = result_fields(id, want), {}
    for at, there in ipairs(gather('HMGET', q.a, fields)) do
      if there and there ~= '' then blanks[#blanks + 1], blanks[#blanks + 2] = fields[at], '' end
    end
    each('HSET', q.a, blanks)
  end
  redis.call('HSET', q.a, id, struct.pack(WAITING, want, got, bytes))
  if got == want then come_due(q, id) end
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

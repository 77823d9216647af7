-- The second part of the scripts that keep records of ended tasks.
--
-- A record is five arguments: what RECORD describes, id, the value of r, which begins with what KEPT describes, and as
-- text, for Redis is slow to write numbers, when it finished and until when it is kept.

-- 1, block, whether it is dead (0, 1).
local RECORD = '>BI2B'

-- To be kept by keep_all().
local function add_record(q, meta, id, value, finished, kept)
  local _, _, dead = struct.unpack(RECORD, meta)
  local list = q.records or { ids = {}, values = {}, dead = {}, finished = {}, kept = {} }
  local n = #list.ids + 1
  list.ids[n], list.values[n], list.dead[n], list.finished[n], list.kept[n] = id, value, dead, finished, kept
  q.records = list
end

-- Keeps each record unless a later run's stands; then the oldest over the number that is kept go.
local function keep_all(q)
  local list = q.records
  if not list then return end
  local values, fading, done, dead, seen = {}, {}, {}, {}, {}
  local function write()
    each('HSET', q.r, values)
    each('ZADD', q.f, fading)
    each('ZADD', q.fd, done)
    each('ZADD', q.fx, dead)
    values, fading, done, dead = {}, {}, {}, {}
  end
  local olds = gather('HMGET', q.r, list.ids)
  for index, id in ipairs(list.ids) do
    local old = olds[index]
    if seen[id] then
      write()
      old = redis.call('HGET', q.r, id)
    end
    local run, kept = struct.unpack(KEPT, list.values[index])
    local stands = false
    if old then
      local old_run, old_kept = struct.unpack(KEPT, old)
      stands = old_run >= run and old_kept > now
      if not stands then forget_results(q, { id }) end
    end
    if not stands and kept > now then
      local n, order = #values, list.dead[index] == 1 and dead or done
      values[n + 1], values[n + 2] = id, list.values[index]
      fading[n + 1], fading[n + 2] = list.kept[index], id
      order[#order + 1], order[#order + 2] = list.finished[index], id
      seen[id] = true
    end
  end
  write()
  for order, most in pairs({ fd = KEEP_DONE, fx = KEEP_DEAD }) do
    local over = math.min(redis.call('ZCARD', q[order]) - most, CHUNK)
    if over > 0 then forget_results(q, redis.call('ZRANGE', q[order], 0, over - 1)) end
  end
  q.records = nil
end

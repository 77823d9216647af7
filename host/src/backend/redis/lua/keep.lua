-- The second part of the scripts that keep records of ended tasks.
--
-- A record is five arguments: what RECORD describes, id, the value of r, which begins with what KEPT describes, and as
-- text, for Redis is slow to write numbers, when it finished and until when it is kept.

-- 1, block, whether it is dead (0, 1), whether its id was chosen, so that it may have stood in another queue (0, 1), and 2
-- more for one that is told.
local RECORD = '>BI2BB'
local TOLD = 2

-- To be kept by keep_all().
local function add_record(q, meta, id, value, finished, kept)
  local _, _, dead, how = struct.unpack(RECORD, meta)
  local list = q.records or { ids = {}, values = {}, dead = {}, finished = {}, kept = {}, chosen = {} }
  local n = #list.ids + 1
  list.ids[n], list.values[n], list.dead[n], list.finished[n], list.kept[n] = id, value, dead, finished, kept
  list.chosen[n] = how % TOLD
  q.records = list
end

-- Whether a record that is kept, if any, stands against one of this run; if not, it goes.
local function yields(q, id, old, run)
  if not old then return true end
  local old_run, old_kept = struct.unpack(KEPT, old)
  if old_run >= run and old_kept > now then return false end
  forget_results(q, { id })
  return true
end

-- Keeps each record unless a later run's stands; then the oldest over the number that is kept go. `elsewhere`: the
-- queues in which a chosen id may have a record, too.
local function keep_all(q, elsewhere)
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
    local first = yields(q, id, old, run)
    for other = 1, list.chosen[index] == 1 and #elsewhere or 0 do
      local there = elsewhere[other]
      first = first and (there == q or yields(there, id, redis.call('HGET', there.r, id), run))
    end
    if first and kept > now then
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

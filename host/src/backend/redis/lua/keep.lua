-- The second part of the scripts that keep records of ended tasks.
--
-- A record is five arguments: what RECORD describes, id, the value of r, which begins with what KEPT describes, and as
-- text, for Redis is slow to write numbers, when it finished and until when it is kept.

-- 1, block, whether it is dead (0, 1), whether its id was chosen, so that it may have stood in another queue (0, 1), and 2
-- more for one that is told.
local RECORD = '>BI2BB'
local TOLD = 2

local record_of = once(function(meta)
  local _, _, dead, how = struct.unpack(RECORD, meta)
  return { is_dead = dead == 1, is_chosen = how % TOLD == 1, is_told = how >= TOLD }
end)
local is_over = once(function(kept) return tonumber(kept) <= now end)
local usually_kept = once(function(finished) return string.format('%.0f', tonumber(finished) + RETENTION) end)

-- What is to be written.
local function no_records()
  return { r = {}, f = {}, fd = {}, fo = {}, fx = {} }
end
local function append(list, one, other)
  local n = #list
  list[n + 1], list[n + 2] = one, other
end
local function put_record(to, record, id, value, finished, kept)
  append(to.r, id, value)
  if not record.is_dead and kept == usually_kept(finished) then return append(to.fd, finished, id) end
  append(record.is_dead and to.fx or to.fo, finished, id)
  append(to.f, kept, id)
end

-- To be kept by keep_all().
local function add_record(q, meta, id, value, finished, kept)
  q.records = q.records or {}
  q.records[#q.records + 1] = { record = record_of(meta), id = id, value = value, finished = finished, kept = kept }
end
-- The same for the first run of a generated id: no other record can stand against it.
local function add_first(q, record, id, value, finished, kept)
  if is_over(kept) then return end
  q.firsts = q.firsts or no_records()
  put_record(q.firsts, record, id, value, finished, kept)
end

-- Whether a record that is kept, if any, stands against one of this run; if not, it goes.
local function yields(q, id, old, run)
  if not old then return true end
  local old_run, old_kept = struct.unpack(KEPT, old)
  if old_run >= run and old_kept > now then return false end
  forget_results(q, { id })
  return true
end

-- The oldest over the number that is kept go: of one order, or of two together.
local function drop_oldest(q, order, over)
  local ids = redis.call('ZRANGE', order, 0, over - 1)
  redis.call('HDEL', q.r, unpack(ids))
  if order ~= q.fd then redis.call('ZREM', q.f, unpack(ids)) end
  redis.call('ZREMRANGEBYRANK', order, 0, over - 1)
end
local function keep_newest(q, most, order, other)
  local others = other and redis.call('ZCARD', other) or 0
  local over = math.min(redis.call('ZCARD', order) + others - most, CHUNK)
  if over > 0 and others == 0 then return drop_oldest(q, order, over) end
  for _ = 1, over do
    local one = redis.call('ZRANGE', order, 0, 0, 'WITHSCORES')[2]
    local two = redis.call('ZRANGE', other, 0, 0, 'WITHSCORES')[2]
    drop_oldest(q, two and (not one or tonumber(two) < tonumber(one)) and other or order, 1)
  end
end

local function write_records(q, all)
  each('HSET', q.r, all.r)
  each('ZADD', q.f, all.f)
  for _, order in ipairs({ 'fd', 'fo', 'fx' }) do each('ZADD', q[order], all[order]) end
  if #all.fd + #all.fo > 0 then keep_newest(q, KEEP_DONE, q.fd, q.fo) end
  if #all.fx > 0 then keep_newest(q, KEEP_DEAD, q.fx) end
end

-- Keeps each record unless a later run's stands. `elsewhere`: the queues in which a chosen id may have a record, too.
local function keep_all(q, elsewhere)
  if q.firsts then write_records(q, q.firsts) end
  local list, all, ids, seen = q.records or {}, no_records(), {}, {}
  for index, entry in ipairs(list) do ids[index] = entry.id end
  local olds = gather('HMGET', q.r, ids)
  for index, entry in ipairs(list) do
    local id, old = entry.id, olds[index]
    if seen[id] then
      write_records(q, all)
      all, old = no_records(), redis.call('HGET', q.r, id)
    end
    local run = struct.unpack(KEPT, entry.value)
    local first = yields(q, id, old, run)
    for other = 1, entry.record.is_chosen and #elsewhere or 0 do
      local there = elsewhere[other]
      first = first and (there == q or yields(there, id, redis.call('HGET', there.r, id), run))
    end
    if first and not is_over(entry.kept) then
      put_record(all, entry.record, id, entry.value, entry.finished, entry.kept)
      seen[id] = true
    end
  end
  write_records(q, all)
  q.records, q.firsts = nil, nil
end

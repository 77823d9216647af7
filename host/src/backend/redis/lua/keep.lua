-- The second part of the scripts that keep records of ended tasks.

-- Keeps a record unless a later run's stands. ARGV: id, run, whether it is dead (0, 1), when it finished, until when it
-- is kept, the record.
local function read_record()
  return { id = arg(), run = number(), dead = arg() == '1', finished = number(), kept = number(), bytes = arg() }
end
local function keep(q, record)
  local old = redis.call('HGET', q.r, record.id)
  if old then
    local run, kept = struct.unpack('>I4I7', old)
    if run >= record.run and kept > now then return end
    forget_results(q, { record.id })
  end
  if record.kept <= now then return end
  redis.call('HSET', q.r, record.id, struct.pack('>I4I7', record.run, record.kept) .. record.bytes)
  redis.call('ZADD', q.f, record.kept, record.id)
  redis.call('ZADD', record.dead and q.fx or q.fd, record.finished, record.id)
end

-- The oldest over the number that is kept go.
local function bound(q)
  for order, most in pairs({ fd = KEEP_DONE, fx = KEEP_DEAD }) do
    local over = math.min(redis.call('ZCARD', q[order]) - most, CHUNK)
    if over > 0 then forget_results(q, redis.call('ZRANGE', q[order], 0, over - 1)) end
  end
end

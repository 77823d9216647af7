-- A part of the scripts that bring results to tasks that wait for them.

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

-- Walks over a part of a queue's unfinished tasks in one of the places where they are. In the lists and aside, no task was
-- enqueued later than those behind it were due: when that is too early, the walk is over.
--
-- KEYS: the queue's.
-- ARGV: time, place ("s", "x", "p0"…, "k0"…), cursor ("" at the beginning), how many at once, state ("" for any), handler
--       ("" for any), and, each as time of enqueueing and id, before which to list and after which; then the numbers, in
--       the order of acceptance, of the first and the last task that may lie between these.
-- Returns the next cursor ("" at the end) and the number of the last task that may, as far as is known now; then time of
-- enqueueing, id and number of each that matches.

local q = queue_at(1)
local place, cursor, page, wanted, handler = arg(), arg(), number(), arg(), arg()
local before, before_id, after, after_id = number(), arg(), number(), arg()
local first, last = number(), number()
local kind, answer = string.sub(place, 1, 1), { '', 0 }
local has_past = redis.call('EXISTS', q.e) == 1

local function matches(id, h)
  local enqueued = h.enqueued
  if enqueued > before then last = math.min(last, h.seq) end
  return (enqueued < before or (enqueued == before and id < before_id))
    and (enqueued > after or (enqueued == after and id > after_id))
    and (handler == '' or handler == h.handler)
end

-- Reads these tasks until one was due too early: how many it passed. A task may have 4 MiB: of large ones few are read at
-- a time.
local function read(ids, in_order)
  local passed, bytes = 0, 0
  while passed < #ids and (bytes < 4 * 1024 * 1024 or not in_order) do
    local few = math.min(redis.call('HSTRLEN', q.m, ids[passed + 1]) > 65536 and 4 or 50, #ids - passed)
    local values = redis.call('HMGET', q.m, unpack(ids, passed + 1, passed + few))
    local blobs = in_order and has_past and redis.call('HMGET', q.e, unpack(ids, passed + 1, passed + few)) or {}
    for index = 1, few do
      local id, value = ids[passed + index], values[index]
      if value then
        local h = head(value)
        bytes = bytes + #value
        if matches(id, h) then
          local n = #answer
          answer[n + 1], answer[n + 2], answer[n + 3] = h.enqueued, id, h.seq
        end
        if in_order and (blobs[index] and state(blobs[index]).due or h.due) < after then return passed + index, true end
      end
    end
    passed = passed + few
  end
  return passed, false
end

local function due_later()
  local found, ids = redis.call('ZSCAN', q.s, cursor == '' and 0 or cursor, 'COUNT', page), {}
  for index = 1, #found[2], 2 do
    local member = found[2][index]
    local _, seq = struct.unpack('>BI6', member)
    if seq >= first and seq <= last then
      local name = tonumber(found[2][index + 1]) > now and 'scheduled' or 'pending'
      if wanted == '' or wanted == name then ids[#ids + 1] = string.sub(member, 8) end
    end
  end
  read(ids, false)
  return found[1] == '0' and '' or found[1]
end

local function running()
  local found, ids = redis.call('HSCAN', q.x, cursor == '' and 0 or cursor, 'COUNT', page), {}
  for index = 1, #found[2], 2 do
    local seq = run_of(found[2][index + 1]).seq
    if seq >= first and seq <= last then ids[#ids + 1] = found[2][index] end
  end
  read(ids, false)
  return found[1] == '0' and '' or found[1]
end

-- The latest first.
local function in_list()
  local from, ids = tonumber(cursor) or 0, {}
  local list = redis.call('LRANGE', q[place], -from - page, -from - 1)
  for index = #list, 1, -1 do ids[#ids + 1] = list[index] end
  local passed, is_over = read(ids, true)
  return (is_over or #list < page and passed == #list) and '' or tostring(from + passed)
end

-- By handler and format; in these, the latest first.
local function aside()
  local top = handler == '' and '+' or '(' .. handler .. '\1'
  local members = redis.call('ZREVRANGEBYLEX', q[place], cursor == '' and top or cursor,
    handler == '' and '-' or '[' .. handler .. '\0', 'LIMIT', 0, page)
  local ids = {}
  for _, member in ipairs(members) do
    local until_nul = string.find(member, '\0', 1, true)
    local _, due, seq, parked, rest = struct.unpack(ASIDE, member, until_nul + 1)
    -- What is left of this handler and format was due too early.
    if due < after then
      read(ids, false)
      return '(' .. string.sub(member, 1, until_nul + 1)
    end
    if seq >= first and seq <= last and (wanted == '' or wanted == (parked == 1 and 'parked' or 'pending')) then
      ids[#ids + 1] = string.sub(member, rest)
    end
  end
  read(ids, false)
  return #members < page and '' or '(' .. members[#members]
end

answer[1] = ({ s = due_later, x = running, p = in_list, k = aside })[kind]()
answer[2] = last
return answer

-- Accepts tasks, and results that come from another slot, all or none.
--
-- KEYS: see accept.lua.
-- ARGV: time, those of accept.lua, until when this may happen (0 for no limit), the messages; among them may be results for
--       tasks that wait for them (settle.lua).
-- Returns per message 1 if it became a task, 0 if its id is taken, or the id of the task that holds its unique key; 1 per
-- result. "stale" if there are queues that the caller doesn't know, or it is too late.

local limit = number()
if is_stale or (limit > 0 and now > limit) then return 'stale' end
local first, messages = next_arg + 1, (#ARGV - next_arg) / 3
for index = 1, count do
  local q = everyone[index]
  q.ids, q.fresh, q.there = {}, {}, {}
  tidy(q)
  promote(q)
end

-- Generated ids are looked for, and new tasks written, in one call for all: their ids are hardly ever there.
for at = first, #ARGV, 3 do
  local kind, index, _, how = struct.unpack('>BI2BB', ARGV[at])
  if kind == 0 and how == 0 then
    local ids = everyone[index].ids
    ids[#ids + 1] = ARGV[at + 1]
  end
end
for index = 1, count do
  local q = everyone[index]
  for at, value in ipairs(gather('HMGET', q.m, q.ids)) do
    if value then q.there[q.ids[at]] = true end
  end
end
local function write()
  for index = 1, count do
    each('HSET', everyone[index].m, everyone[index].fresh)
    everyone[index].fresh = {}
  end
end

local answers = {}
for at = first, #ARGV, 3 do
  local meta, id, back = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local kind, index, priority, how = struct.unpack('>BI2BB', meta)
  local q = everyone[index]
  if kind == 0 and how == 0 and not q.there[id] then
    local _, _, _, _, is_date, due = struct.unpack(MESSAGE, meta)
    due = due_at(is_date, due)
    local n = #q.fresh
    q.fresh[n + 1], q.fresh[n + 2] = id, struct.pack(FRONT, sequence(q, messages), now, due) .. back
    enter(q, id, priority, q.last, due)
    q.there[id], q.changed = true, true
    answers[#answers + 1] = 1
  else
    write()
    if kind == 2 then arrive(q, id, struct.unpack('>I4', meta, 4), back) end
    answers[#answers + 1] = kind == 2 and 1 or accept(meta, id, back, messages)
  end
end
write()
for index = 1, count do flush(everyone[index]) end
tell()
return answers

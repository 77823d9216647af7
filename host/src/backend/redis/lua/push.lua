-- Accepts tasks, all or none.
--
-- KEYS: see accept.lua.
-- ARGV: time, those of accept.lua, the messages.
-- Returns per message 1 if it became a task, 0 if its id is taken, or the id of the task that holds its unique key. "stale"
-- if there are queues that the caller doesn't know.

if redis.call('HLEN', KEYS[1]) ~= known then return 'stale' end
local first, messages = next_arg + 1, (#ARGV - next_arg) / 3
for index = 1, count do
  local q = everyone[index]
  q.ids, q.fresh, q.there = {}, {}, {}
  tidy(q)
  promote(q)
end

-- Generated ids are looked for, and new tasks written, in one call for all: their ids are hardly ever there.
for at = first, #ARGV, 3 do
  local _, index, _, how = struct.unpack(MESSAGE, ARGV[at])
  if how == 0 then
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
  local _, index, priority, how, is_date, due = struct.unpack(MESSAGE, meta)
  local q = everyone[index]
  if how == 0 and not q.there[id] then
    due = due_at(is_date, due)
    local n = #q.fresh
    q.fresh[n + 1], q.fresh[n + 2] = id, struct.pack(FRONT, sequence(q, messages), now, due) .. back
    enter(q, id, priority, q.last, due)
    q.there[id], q.changed = true, true
    answers[#answers + 1] = 1
  else
    write()
    answers[#answers + 1] = accept(meta, id, back, messages)
  end
end
write()
for index = 1, count do flush(everyone[index]) end
tell()
return answers

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
  local message = message_of(ARGV[at])
  if message.is_plain then
    local ids = message.q.ids
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

local answers, pack = {}, struct.pack
for at = first, #ARGV, 3 do
  local message, id, back = message_of(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local q = message.q
  if message.is_plain and not q.there[id] then
    local fresh = q.fresh
    local n = #fresh
    fresh[n + 1], fresh[n + 2] = id, pack('>I6', sequence(q, messages)) .. message.times .. back
    enter(q, id, message.priority, q.last, message.due)
    q.there[id], q.changed = true, true
    answers[#answers + 1] = 1
  else
    write()
    answers[#answers + 1] = accept(message, id, back, messages)
  end
end
write()
for index = 1, count do flush(everyone[index]) end
tell()
return answers

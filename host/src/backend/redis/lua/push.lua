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
  promote(q)
end

-- None for a result.
local function message_at(at)
  return string.byte(ARGV[at]) == 0 and message_of(ARGV[at])
end

-- Generated ids are looked for, and new tasks written, in one call for all: their ids are hardly ever there.
for at = first, #ARGV, 3 do
  local message = message_at(at)
  if message and message.is_plain then
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
  local message, id, back = message_at(at), ARGV[at + 1], ARGV[at + 2]
  if message and message.is_plain and not message.q.there[id] then
    local q = message.q
    local fresh = q.fresh
    local n = #fresh
    fresh[n + 1], fresh[n + 2] = id, pack('>I6', sequence(q, messages)) .. message.times .. back
    enter(q, id, message.priority, q.last, message.due)
    q.there[id], q.changed = true, true
    answers[#answers + 1] = 1
  else
    write()
    if not message then
      local _, index, result = struct.unpack('>BI2I4', ARGV[at])
      arrive(everyone[index], id, result, back)
    end
    answers[#answers + 1] = not message and 1 or accept(message, id, back, messages)
  end
end
write()
for index = 1, count do flush(everyone[index]) end
tell()
return answers

-- Accepts tasks, all or none.
--
-- KEYS: see accept.lua.
-- ARGV: time, those of accept.lua, the number of messages, the messages.
-- Returns 1 or 0 per message: whether it became a task. "stale" if there are queues that the caller doesn't know.

if redis.call('HLEN', KEYS[1]) ~= known then return 'stale' end
for index = 1, count do
  tidy(everyone[index])
  promote(everyone[index])
end
local answers = {}
local messages = number()
for index = 1, messages do answers[index] = accept(message(), messages) end
for index = 1, count do flush(everyone[index]) end
tell()
return answers

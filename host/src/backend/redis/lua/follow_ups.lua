-- Reads follow-ups that are for queues in other slots: some of them, the oldest of these first.
--
-- KEYS: the queue's.
-- ARGV: time.
-- Returns per follow-up its number, what describes it, its id, and the queue's name, a NUL and the rest; fewer where they
-- are large.

local q = queue_at(1)
local found, letters = redis.call('HSCAN', q.n, '0', 'COUNT', 200)[2], {}
for index = 1, #found, 2 do letters[#letters + 1] = { number = tonumber(found[index]), value = found[index + 1] } end
table.sort(letters, function(a, b) return a.number < b.number end)
local answer, bytes = {}, 4 * 1024 * 1024
for _, letter in ipairs(letters) do
  local meta, id, rest = struct.unpack(FOLLOW_UP, letter.value)
  local n = #answer
  answer[n + 1], answer[n + 2] = letter.number, string.sub(letter.value, rest, rest + meta - 1)
  answer[n + 3] = string.sub(letter.value, rest + meta, rest + meta + id - 1)
  answer[n + 4] = string.sub(letter.value, rest + meta + id)
  bytes = bytes - #letter.value
  if bytes <= 0 then break end
end
return answer

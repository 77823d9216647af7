-- Which of these queues have leases that ran out.
--
-- KEYS: their leases.
-- ARGV: time.
-- Returns their places, from 0.

local found = {}
for index, leases in ipairs(KEYS) do
  if redis.call('ZCOUNT', leases, '-inf', NOW) > 0 then found[#found + 1] = index - 1 end
end
return found

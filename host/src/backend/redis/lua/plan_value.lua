-- The second part of the scripts that keep schedules. A value: up to when its ticks are done, the id of the last task, the
-- body.

local PLAN = '>I7I2'
local function plan_of(value)
  local since, length, rest = struct.unpack(PLAN, value)
  return { since = since, last = string.sub(value, rest, rest + length - 1), body = string.sub(value, rest + length) }
end
local function plan_blob(plan)
  return struct.pack(PLAN, plan.since, #plan.last) .. plan.last .. plan.body
end

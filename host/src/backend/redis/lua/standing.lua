-- The second part of the scripts that tell where tasks stand.

-- The state of a task that has this head and e: nil for a dead letter that is no longer kept. Beside a running one's
-- state, its x.
local function stands(q, id, h, blob)
  local run = redis.call('HGET', q.x, id)
  if run then return 'running', run end
  local kept = redis.call('ZSCORE', q.d, id)
  if kept then return tonumber(kept) > now and 'dead' or nil end
  local due = blob and state(blob).due or h.due
  if due > now then return 'scheduled' end
  if redis.call('ZSCORE', q['k' .. h.priority], aside_member(h, due, 1, id)) then return 'parked' end
  return 'pending'
end

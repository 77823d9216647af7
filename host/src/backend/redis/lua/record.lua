-- Keeps records that come from elsewhere.
--
-- KEYS: the queue's.
-- ARGV: time, the number of records, the records.
-- Returns nothing.

local q = queue_at(1)
tidy(q)
for _ = 1, number() do keep(q, read_record()) end
bound(q)
return 0

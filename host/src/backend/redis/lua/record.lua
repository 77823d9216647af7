-- Keeps records that come from elsewhere.
--
-- KEYS: the queue's.
-- ARGV: time, the records.
-- Returns nothing.

local q = queue_at(1)
tidy(q)
while next_arg < #ARGV do add_record(q, arg(), arg(), arg(), arg(), arg()) end
keep_all(q, {})
return 0

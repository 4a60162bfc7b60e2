-- Oldest first, and never past an event that is young enough to stay, even if
-- a clock once went backwards.

-- name: Cut
select coalesce(max(revision), 0), count(*)
from (
    select revision, max(at) over (order by revision) < ?1 as old
    from (select revision, at from log order by revision limit ?2)
)
where old;

-- name: Drop
delete from log where revision <= ?;

-- name: Compacted
update state set compacted = max(compacted, ?);

-- name: ForgetBatches
delete from batches where at < ?;

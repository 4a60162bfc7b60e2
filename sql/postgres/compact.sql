-- Oldest first, and never past an event that is young enough to stay, even if
-- a clock once went backwards.

-- name: Compact
with oldest as (
    select revision, at from {schema}.log order by revision limit $2::int
), cut as (
    select max(revision) as revision
    from (select revision, bool_and(at < $1::timestamptz) over (order by revision) as old from oldest) o
    where old
), gone as (
    delete from {schema}.log where revision <= (select revision from cut) returning 1
), moved as (
    update {schema}.state set compacted = greatest(compacted, cut.revision)
    from cut where cut.revision is not null
)
select count(*) from gone;

-- name: ForgetBatches
delete from {schema}.batches where at < $1::timestamptz;

-- The value that an event put is the live one, or the one that the next write
-- of the key replaced. The limits of 1 keep the planner to a lookup for each
-- event, also while it believes that the tables are empty.

-- name: Events
select s.revision, s.compacted, s.epoch || {line},
    l.revision, l.key, l.deleted, l.created,
    coalesce(live.value, next.previous_value), coalesce(live.expires, next.previous_expires),
    l.previous, l.previous_value, l.previous_expires
from {schema}.state s
left join lateral (
    select revision, key, deleted, created, previous, previous_expires,
        case when $5::bool then previous_value end as previous_value
    from {schema}.log
    where revision > $1::bigint and s.compacted <= $1
      and key >= $2::bytea and ($3::bytea is null or key < $3)
    order by revision
    limit $4::int
) l on true
left join lateral (
    select value, expires from {schema}.kv where kv.key = l.key and kv.modified = l.revision limit 1
) live on true
left join lateral (
    select previous_value, previous_expires from {schema}.log n where n.previous = l.revision and n.previous > 0 limit 1
) next on true
order by l.revision;

-- The value that an event put is the live one, or the one that the next write
-- of the key replaced.

-- name: Events
select l.revision, l.key, l.deleted, l.created,
    kv.key is not null or n.revision is not null, coalesce(kv.value, n.previous_value), coalesce(kv.expires, n.previous_expires),
    l.previous, case when ?5 then l.previous_value end, l.previous_expires
from log l
left join kv on kv.key = l.key and kv.modified = l.revision
left join log n on n.previous = l.revision and n.previous > 0
where l.revision > ?1 and l.key >= ?2 and (?3 is null or l.key < ?3)
order by l.revision
limit ?4;

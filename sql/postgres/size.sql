-- name: Size
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
from pg_class c
where c.relnamespace = '{schema}'::regnamespace and c.relname in ('kv', 'log', 'state', 'batches');

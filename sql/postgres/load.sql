-- name: Load
select key, value, created, modified, expires
from {schema}.kv
where key > $1::bytea
order by key
limit $2::int;

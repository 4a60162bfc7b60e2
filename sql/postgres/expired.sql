-- name: Expired
select key, created, modified, expires
from {schema}.kv
where expires < $1::timestamptz
order by expires
limit $2::int;

-- name: Get
select value, created, modified, expires from {schema}.kv where key = $1::bytea;

-- name: Get
select value, created, modified, expires from kv where key = ?;

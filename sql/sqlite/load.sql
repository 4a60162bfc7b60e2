-- name: Load
select key, value, created, modified, expires from kv order by key;

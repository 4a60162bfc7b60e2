-- name: Expired
select key, created, modified, expires from kv where expires < ? order by expires limit ?;

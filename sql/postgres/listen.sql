-- name: Listen
listen {channel};

-- name: Notify
select pg_notify('{channel}', $1::text);

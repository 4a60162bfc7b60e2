-- A commit is one immediate transaction of these statements.

-- name: Begin
begin immediate;

-- name: Commit
commit;

-- name: Rollback
rollback;

-- name: Batch
select sequence, base, conflicts, currents from batches where origin = ?;

-- name: Current
select modified from kv where key = ?;

-- name: LogCreate
insert into log (revision, at, key, deleted, created, previous) values (?1, ?2, ?3, 0, ?1, 0);

-- name: LogReplace
insert into log (revision, at, key, deleted, created, previous, previous_value, previous_expires)
select ?1, ?2, key, ?4, created, modified, value, expires from kv where key = ?3;

-- name: Insert
insert into kv (key, value, created, modified, expires) values (?1, ?2, ?3, ?3, ?4);

-- name: Update
update kv set value = ?2, modified = ?3, expires = ?4 where key = ?1;

-- name: Delete
delete from kv where key = ?;

-- name: Advance
update state set revision = ?;

-- name: Remember
insert into batches (origin, sequence, at, base, conflicts, currents) values (?, ?, ?, ?, ?, ?)
on conflict (origin) do update
set sequence = excluded.sequence, at = excluded.at, base = excluded.base,
    conflicts = excluded.conflicts, currents = excluded.currents;

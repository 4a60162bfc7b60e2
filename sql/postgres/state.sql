-- {line} names the database's line of history: its system identifier and
-- timeline, or '' where the database doesn't tell.

-- name: State
select revision, compacted, epoch || {line} from {schema}.state;

-- name: Revision
select revision from {schema}.state;

-- name: Line
select (select system_identifier from pg_control_system())::text
    || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8);

-- +goose Up

-- One row a live key. Values are compressed or encrypted by those who write
-- them, so the database need not try. Values up to a page stay in the row, which
-- saves the detour through the TOAST table; the free half of each page lets an
-- update stay on its page and leave the index alone (HOT).
create table {schema}.kv (
    key      bytea primary key,
    value    bytea not null,
    created  bigint not null,
    modified bigint not null,
    expires  timestamptz
) with (
    toast_tuple_target = 8160, fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_cost_delay = 0
);
alter table {schema}.kv alter column key set storage main, alter column value set storage external;
create index kv_expires on {schema}.kv (expires) where expires is not null;

-- One row an applied write. It holds the version that the write replaced; the
-- version that it put is in kv, or in the row whose previous is this revision.
create table {schema}.log (
    revision         bigint primary key,
    at               timestamptz not null,
    key              bytea not null,
    deleted          boolean not null,
    created          bigint not null,
    previous         bigint not null, -- 0: the write created the key
    previous_value   bytea,
    previous_expires timestamptz
) with (
    toast_tuple_target = 8160,
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_cost_delay = 0
);
alter table {schema}.log alter column key set storage main, alter column previous_value set storage external;
create unique index log_previous on {schema}.log (previous) where previous > 0;

-- One row: where the store stands. A commit locks it, so that commit order is
-- revision order.
create table {schema}.state (
    id        boolean primary key default true check (id),
    revision  bigint not null,
    compacted bigint not null,
    epoch     text not null
) with (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
insert into {schema}.state (revision, compacted, epoch) values (0, 0, gen_random_uuid()::text);

-- One row a run of a server: its last batch and what became of it.
create table {schema}.batches (
    origin    text primary key,
    sequence  bigint not null,
    at        timestamptz not null,
    base      bigint not null,
    conflicts int[],
    currents  bigint[]
) with (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Applies a batch, once. The writes whose expectation holds get the revisions
-- after base, in order; conflicts are the positions (from 1) of the others and
-- currents the revisions that their keys have. base is -1 when a later batch of
-- the origin was applied. A null value deletes; expiry is in microseconds since
-- 1970, 0 for never.
-- +goose StatementBegin
create function {schema}.commit_batch(
    p_origin text, p_sequence bigint,
    p_keys bytea[], p_values bytea[], p_expects bigint[], p_expires bigint[],
    out base bigint, out conflicts int[], out currents bigint[]
) language plpgsql
-- The plan must not depend on how full the tables were when it was made.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
    v_last    {schema}.batches;
    v_now     timestamptz;
    v_applied bigint;
begin
    -- On its own and first: the statements after it see what the commit before
    -- this one has written.
    select s.revision into base from {schema}.state s for update;

    select * into v_last from {schema}.batches b where b.origin = p_origin;
    if v_last.sequence = p_sequence then
        base := v_last.base;
        conflicts := v_last.conflicts;
        currents := v_last.currents;
        return;
    elsif v_last.sequence > p_sequence then
        base := -1;
        return;
    end if;

    v_now := clock_timestamp();
    -- Each row is found by its key once, then by its place, which holds for the
    -- statement. Simple joins by key would let the planner go through all of kv
    -- for each write while it believes that kv is empty.
    with checked as materialized (
        select c.*, base + count(*) filter (where fits) over (order by position rows unbounded preceding) as revision
        from (
            select w.position, w.key, w.value,
                old.place, old.modified, old.created, old.value as old_value, old.expires as old_expires,
                case when w.expires > 0 then timestamptz 'epoch' + w.expires * interval '1 microsecond' end as expires,
                w.expect = coalesce(old.modified, 0) and (w.value is not null or old.modified is not null) as fits
            from unnest(p_keys, p_values, p_expects, p_expires) with ordinality as w (key, value, expect, expires, position)
            left join lateral (
                select kv.ctid as place, kv.modified, kv.created, kv.value, kv.expires
                from {schema}.kv where kv.key = w.key limit 1
            ) old on true
        ) c
    ), logged as (
        insert into {schema}.log (revision, at, key, deleted, created, previous, previous_value, previous_expires)
        select revision, v_now, key, value is null, coalesce(created, revision), coalesce(modified, 0), old_value, old_expires
        from checked where fits
    ), put as (
        insert into {schema}.kv (key, value, created, modified, expires)
        select key, value, revision, revision, expires
        from checked where fits and modified is null
    ), updated as (
        update {schema}.kv set value = c.value, modified = c.revision, expires = c.expires
        from checked c where kv.ctid = c.place and c.fits and c.value is not null
    ), deleted as (
        delete from {schema}.kv using checked c where kv.ctid = c.place and c.fits and c.value is null
    )
    select count(*) filter (where fits),
        array_agg(position::int) filter (where not fits), array_agg(coalesce(modified, 0)) filter (where not fits)
    into v_applied, conflicts, currents
    from checked;

    update {schema}.state set revision = base + v_applied;
    insert into {schema}.batches as b (origin, sequence, at, base, conflicts, currents)
    values (p_origin, p_sequence, v_now, base, conflicts, currents)
    on conflict (origin) do update
    set sequence = excluded.sequence, at = excluded.at, base = excluded.base,
        conflicts = excluded.conflicts, currents = excluded.currents;
    if v_applied > 0 then
        perform pg_notify('{channel}', p_origin);
    end if;
end
$$;
-- +goose StatementEnd

-- +goose Down
drop function {schema}.commit_batch;
drop table {schema}.batches;
drop table {schema}.state;
drop table {schema}.log;
drop table {schema}.kv;

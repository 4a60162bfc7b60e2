-- +goose Up

-- The tables of the PostgreSQL schema; times are microseconds since 1970, keys
-- are blobs, which compare as bytes.
create table kv (
    key      blob primary key not null,
    value    blob not null,
    created  integer not null,
    modified integer not null,
    expires  integer
);
create index kv_expires on kv (expires) where expires is not null;

create table log (
    revision         integer primary key,
    at               integer not null,
    key              blob not null,
    deleted          integer not null,
    created          integer not null,
    previous         integer not null, -- 0: the write created the key
    previous_value   blob,
    previous_expires integer
);
create unique index log_previous on log (previous) where previous > 0;

create table state (
    id        integer primary key default 1 check (id = 1),
    revision  integer not null,
    compacted integer not null,
    epoch     text not null
);
insert into state (revision, compacted, epoch) values (0, 0, lower(hex(randomblob(16))));

-- conflicts are the positions (from 1) of the writes that did not apply and
-- currents the revisions that their keys had, as JSON arrays.
create table batches (
    origin    text primary key not null,
    sequence  integer not null,
    at        integer not null,
    base      integer not null,
    conflicts text not null,
    currents  text not null
) without rowid;

-- +goose Down
drop table batches;
drop table state;
drop table log;
drop table kv;

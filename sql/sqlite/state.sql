-- name: State
select revision, compacted, epoch from state;

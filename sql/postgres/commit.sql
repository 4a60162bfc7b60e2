-- The function is made by the migrations: one round trip a batch.

-- name: Commit
select base, conflicts, currents
from {schema}.commit_batch($1::text, $2::bigint, $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[]);

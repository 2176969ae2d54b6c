-- +goose Up
-- What was decided, for counting without reading the rows. Rows that are not decided yet are left out, so
-- that a first scan does not pay for it.
create index recordings_tally on recordings (bucket, disposition, rule, key) where gone_at = 0 and disposition <> '';
-- +goose Down
select 1;

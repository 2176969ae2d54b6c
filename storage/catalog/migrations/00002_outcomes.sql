-- +goose Up
create index actions_outcome on actions (outcome_id) where outcome_id <> '';
-- +goose Down
select 1;

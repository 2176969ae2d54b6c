-- +goose Up
-- The planned actions of a run by themselves: with the state in front PostgreSQL thinks them scattered, and goes through
-- all that was done instead.
create index actions_planned on actions (run, seq) where state = 'planned';
-- +goose Down
select 1;

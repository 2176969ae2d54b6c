-- +goose Up
alter table log_state add column fence text not null default '';
-- +goose Down
select 1;

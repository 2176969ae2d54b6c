-- +goose Up
-- Processes that keep the bounds on what is asked of a store together. Each counts its beats; who does not any more is
-- gone. That needs no clocks that agree.
create table sharers (
  store text   not null,
  id    text   not null,
  beats bigint not null,
  primary key (store, id)
);
-- +goose Down
select 1;

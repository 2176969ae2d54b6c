-- +goose Up
-- Whose data was erased, by pseudonym: what arrives late of such a person is erased too.
create table tombstones (
  tag    text   primary key,
  at     bigint not null
);
-- What was last taken into account, by name.
create table marks (
  name  text primary key,
  value text not null
);
-- +goose Down
select 1;

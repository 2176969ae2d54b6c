-- +goose Up
-- Recordings that the plan in the making waits for to be listened to. What was heard goes into their facts;
-- a row that is lost costs a hearing by the plan itself.
create table hearings (
  bucket      text   not null,
  key         text   not null,
  terms       text   not null, -- by which configuration: another one would learn something else
  owner       text   not null,
  lease_until bigint not null,
  primary key (bucket, key)
);
-- +goose Down
select 1;

-- +goose Up
-- Indices in the outbox count on over all shards of the log; base is the first of the current one.
alter table log_state add column base bigint not null default 0;
alter table log_state add column shard bigint not null default 0;
alter table log_state add column origin text not null default '';
alter table log_state add column prefix text not null default '';
create table log_shards (
  n          bigint primary key,
  base       bigint not null,
  size       bigint not null,
  origin     text   not null,
  prefix     text   not null,
  checkpoint blob   not null,
  closed_at  bigint not null
);
-- +goose Down
select 1;

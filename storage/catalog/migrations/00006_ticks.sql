-- +goose Up
-- Which process is at a scheduled run, and until when nobody else may be.
alter table schedules add column owner text not null default '';
alter table schedules add column lease_until bigint not null default 0;
-- Stretches of a listing under way: (after_key, through_key] below a prefix, an empty through_key for
-- the prefix's end. They are split while they are listed, so that several lists go side by side.
create table scan_ranges (
  bucket      text   not null,
  prefix      text   not null,
  begins      text   not null,
  after_key   text   not null,
  through_key text   not null,
  listed      bigint not null default 0,
  owner       text   not null default '',
  lease_until bigint not null default 0,
  primary key (bucket, prefix, begins)
);
-- +goose Down
select 1;

-- +goose Up
-- Recordings that an act, or the look before it, failed on. They are left alone until next_at, and once
-- tries are used up (blocked) until a person says so.
create table attention (
  bucket   text    not null,
  key      text    not null,
  etag     text    not null,
  code     text    not null,
  tries    bigint  not null,
  first_at bigint  not null,
  last_at  bigint  not null,
  next_at  bigint  not null,
  blocked  bigint  not null,
  primary key (bucket, key)
);
-- +goose Down
select 1;

-- +goose Up
-- Versions that were put under the store's own legal hold because one of ours covers them. What others
-- put under it is not here, and is left alone.
create table mirrored (
  bucket  text   not null,
  key     text   not null,
  version text   not null,
  at      bigint not null,
  primary key (bucket, key, version)
);
-- +goose Down
select 1;

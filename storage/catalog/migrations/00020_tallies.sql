-- +goose Up
-- How many recordings were decided how, kept up to date by the database itself: counting them would cost each plan what
-- is stored, not what is due. tallied are the prefixes that are counted, from the first time that somebody asks;
-- tallies is to be added up. Recordings begin undecided, so that a scan pays nothing.
drop index recordings_tally;
create table tallied (
  bucket  text    not null,
  prefix  text    not null,
  until   text    not null, -- the first key behind it; empty where there is none
  begun   bigint  not null, -- the transaction of PostgreSQL that had it counted; 0 with SQLite
  known   integer not null, -- 1: what was decided before it came to be counted is in tallies
  read_at bigint  not null,
  primary key (bucket, prefix)
);
create table tallies (
  bucket      text   not null,
  prefix      text   not null,
  disposition text   not null,
  rule        text   not null,
  n           bigint not null
  , primary key (bucket, prefix, disposition, rule) --sqlite
);
-- PostgreSQL only adds rows: many workers that count on the same one would wait for each other.
--postgres: create index tallies_of on tallies (bucket, prefix);
-- +goose StatementBegin
create trigger recordings_decided after update of disposition, rule, gone_at on recordings --sqlite
when old.disposition <> new.disposition or old.rule <> new.rule or old.gone_at <> new.gone_at --sqlite
begin --sqlite
  insert into tallies select t.bucket, t.prefix, old.disposition, old.rule, -1 from tallied t --sqlite
  where t.bucket = old.bucket and old.key >= t.prefix and (t.until = '' or old.key < t.until) and old.gone_at = 0 and old.disposition <> '' --sqlite
  on conflict do update set n = n - 1; --sqlite
  insert into tallies select t.bucket, t.prefix, new.disposition, new.rule, 1 from tallied t --sqlite
  where t.bucket = new.bucket and new.key >= t.prefix and (t.until = '' or new.key < t.until) and new.gone_at = 0 and new.disposition <> '' --sqlite
  on conflict do update set n = n + 1; --sqlite
end; --sqlite
--postgres: create function tally_decided() returns trigger language plpgsql as $$
--postgres: begin
--postgres:   insert into tallies select t.bucket, t.prefix, r.disposition, r.rule, sum(r.n) from (
--postgres:     select bucket, key, disposition, rule, -1 as n from was where gone_at = 0 and disposition <> ''
--postgres:     union all select bucket, key, disposition, rule, 1 from now_is where gone_at = 0 and disposition <> ''
--postgres:   ) r join tallied t on t.bucket = r.bucket and r.key >= t.prefix and (t.until = '' or r.key < t.until)
--postgres:   group by 1, 2, 3, 4 having sum(r.n) <> 0;
--postgres:   return null;
--postgres: end $$;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger recordings_deleted after delete on recordings when old.gone_at = 0 and old.disposition <> '' --sqlite
begin --sqlite
  insert into tallies select t.bucket, t.prefix, old.disposition, old.rule, -1 from tallied t --sqlite
  where t.bucket = old.bucket and old.key >= t.prefix and (t.until = '' or old.key < t.until) --sqlite
  on conflict do update set n = n - 1; --sqlite
end; --sqlite
--postgres: create function tally_deleted() returns trigger language plpgsql as $$
--postgres: begin
--postgres:   insert into tallies select t.bucket, t.prefix, r.disposition, r.rule, -count(*)
--postgres:   from was r join tallied t on t.bucket = r.bucket and r.key >= t.prefix and (t.until = '' or r.key < t.until)
--postgres:   where r.gone_at = 0 and r.disposition <> '' group by 1, 2, 3, 4;
--postgres:   return null;
--postgres: end $$;
-- +goose StatementEnd
--postgres: create trigger recordings_decided after update on recordings referencing old table as was new table as now_is for each statement execute function tally_decided();
--postgres: create trigger recordings_deleted after delete on recordings referencing old table as was for each statement execute function tally_deleted();
-- +goose Down
select 1;

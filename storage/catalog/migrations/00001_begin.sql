-- +goose Up
create table recordings (
  bucket      text   not null,
  key         text   not null,
  etag        text   not null,
  size        bigint not null,
  stored_at   bigint not null,
  -- facts: what HEAD, the layout and listening told, JSON; empty until asked
  stem        text   not null default '', -- the {id} that companions are found by
  subject     text   not null default '',
  device      text   not null default '',
  facts       text   not null default '',
  -- what the policies said last
  disposition text   not null default '',
  rule        text   not null default '',
  reason      text   not null default '',
  due_at      bigint not null default 0,
  due_digest  text   not null default '',
  gone_at     bigint not null default 0,
  primary key (bucket, key)
);
create index recordings_due on recordings (bucket, due_digest, due_at, key) where gone_at = 0;
create index recordings_subject on recordings (subject) where gone_at = 0 and subject <> '';

create index recordings_stem on recordings (bucket, stem) where gone_at = 0 and stem <> '';

create table cursors (
  bucket     text   not null,
  prefix     text   not null,
  after_key  text   not null,
  started_at bigint not null,
  done_at    bigint not null default 0,
  primary key (bucket, prefix)
);

create table subjects (
  id  text primary key,
  doc text not null
);
create table holds (
  id     text   primary key,
  lifted bigint not null default 0,
  doc    text   not null
);
create table requests (
  id      text   primary key,
  subject text   not null,
  closed  bigint not null default 0,
  doc     text   not null
);
create index requests_open on requests (subject) where closed = 0;

create table policies (
  digest       text   primary key,
  name         text   not null,
  activated_at bigint not null
);

create table runs (
  id         text   primary key,
  state      text   not null,
  created_at bigint not null,
  doc        text   not null
);
create table actions (
  run        text   not null,
  seq        bigint not null,
  state      text   not null,
  bucket     text   not null,
  key        text   not null,
  doc        text   not null,
  intent_id  text   not null default '',
  outcome_id text   not null default '',
  primary key (run, seq)
);
create index actions_open on actions (state, run, seq) where state in ('planned', 'intended');
create index actions_key on actions (bucket, key);
create table approvals (
  run text   not null,
  by_ text   not null,
  doc text   not null,
  primary key (run, by_)
);

create table outbox (
  seq       integer primary key,
  entry_id  text   not null unique,
  body      blob   not null,
  log_index bigint unique
);
create index outbox_waiting on outbox (seq) where log_index is null;
create table roots (
  size bigint primary key,
  root blob   not null
);
create table log_state (
  one       integer primary key check (one = 1),
  size      bigint not null,
  published bigint not null
);
insert into log_state (one, size, published) values (1, 0, 0);

create table schedules (
  policy   text   primary key,
  last_run bigint not null
);
-- +goose Down
select 1;

-- +goose Up
-- What recordings tell of a child's voice, by device and time, so that those of one session are read together.
-- Only where a policy asks for that; a row goes with its recording, in the same transaction.
create table voices (
  bucket      text    not null,
  key         text    not null,
  device      text    not null,
  captured_at bigint  not null,
  logit       double precision, -- of the probability that a child speaks; null: not judged
  waits       integer not null, -- 1: not judged, since listening failed and is to be tried again
  ear         text    not null, -- who judged, if it is to be judged anew by another version
  pooled      double precision, -- what its decision went by; null: by nothing of the kind, below 0: there was no figure
  -- Times that its session was stirred since it was decided, and whether by more than that a recording was
  -- deleted by us.
  stirred     bigint  not null,
  changed     integer not null,
  primary key (bucket, key)
);
create index voices_session on voices (bucket, device, captured_at, key);
create index voices_stirred on voices (bucket, key) where stirred > 0;
-- +goose Down
select 1;

-- +goose Up
-- What went lately is looked up by when it went: its companions may be orphans now.
create index recordings_gone on recordings (gone_at) where gone_at > 0;
-- +goose Down
select 1;

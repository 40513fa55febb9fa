-- One import a user at a time: host and process of the one that is running.
ALTER TABLE import_jobs ADD COLUMN holder TEXT;

-- Conversations that are gone from an export: the last import with --prune whose export held it.
ALTER TABLE imported_conversations ADD COLUMN seen_in TEXT;

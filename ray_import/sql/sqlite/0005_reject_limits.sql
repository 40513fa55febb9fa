-- The last import with limits for rejects that met this one again: it counts among that import's.
ALTER TABLE import_rejects ADD COLUMN seen_in TEXT;

-- Messages are stored once, beside the chunks. Every key holds the product whose export the rows come from. The key of a
-- conversation begins with (user_id, conversation_id), so that queries without a product use its index, too.

CREATE TABLE conversation_messages (
    user_id         TEXT NOT NULL,
    product         TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    node_id         TEXT NOT NULL,      -- the key of the message's node in the conversation's tree
    parent_id       TEXT,               -- the node of the nearest message above that is stored
    thread          TEXT NOT NULL,      -- 'main', or the node with which a side branch begins
    on_active_path  INTEGER NOT NULL,   -- whether the app shows it
    position        INTEGER NOT NULL,   -- from 0, in the order of the conversation
    role            TEXT NOT NULL,      -- 'user' or 'assistant'
    created_at      TEXT,
    model           TEXT,
    text            TEXT NOT NULL,      -- the author's own words alone
    quoted          TEXT NOT NULL,      -- the words of an answer that a question is about, or ''
    attachments     TEXT NOT NULL,      -- names of files (a JSON array)
    import_id       TEXT NOT NULL,
    PRIMARY KEY (user_id, conversation_id, product, node_id)
);
CREATE INDEX conversation_messages_by_time ON conversation_messages (user_id, created_at);

-- Which piece of which message a chunk shows: a JSON array of {node, start, fresh, end, at, context}, in UTF-8 bytes.
ALTER TABLE conversation_chunks ADD COLUMN product TEXT NOT NULL DEFAULT 'chatgpt';
ALTER TABLE conversation_chunks ADD COLUMN spans TEXT NOT NULL DEFAULT '[]';
DROP INDEX IF EXISTS conversation_chunks_by_conversation;
CREATE UNIQUE INDEX conversation_chunks_by_conversation
    ON conversation_chunks (user_id, conversation_id, product, thread, chunk_index);

-- The primary keys of these two become (user_id, conversation_id, product) and (user_id, raw_hash, product), and hashes
-- get the name of their algorithm. SQLite cannot change a key: destinations/sqlite/schema.py makes both tables anew, with the
-- columns, indexes and triggers that users have added.
ALTER TABLE import_rejects ADD COLUMN product TEXT NOT NULL DEFAULT 'chatgpt';
ALTER TABLE imported_conversations ADD COLUMN product TEXT NOT NULL DEFAULT 'chatgpt';
ALTER TABLE imported_conversations ADD COLUMN model TEXT;
ALTER TABLE imported_conversations ADD COLUMN is_starred INTEGER NOT NULL DEFAULT 0;
ALTER TABLE imported_conversations ADD COLUMN is_archived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE imported_conversations ADD COLUMN project TEXT;
ALTER TABLE imported_conversations ADD COLUMN memory_scope TEXT;
-- Whether its messages are in conversation_messages.
ALTER TABLE imported_conversations ADD COLUMN has_messages INTEGER NOT NULL DEFAULT 0;
UPDATE import_runs SET settings_hash = 'sha256:' || settings_hash;

-- What a reader wants of a conversation. A view of this name that a user has made stays.
CREATE VIEW IF NOT EXISTS conversations AS
    SELECT user_id, product, conversation_id, title,
        CASE WHEN product = 'chatgpt' AND substr(conversation_id, 1, 13) <> 'unidentified-'
            AND substr(conversation_id, 1, 7) <> 'sha256:'
            THEN 'https://chatgpt.com/c/' || conversation_id END AS link,
        create_time, update_time, model, is_starred, is_archived, project, memory_scope, has_messages,
        message_count, chunk_count,
        (SELECT count(DISTINCT c.thread) FROM conversation_chunks AS c
            WHERE c.user_id = i.user_id AND c.conversation_id = i.conversation_id AND c.product = i.product)
            AS thread_count
    FROM imported_conversations AS i;

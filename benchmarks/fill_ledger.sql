-- What a user has already: as many conversations as the setting bench.already says, each of two small chunks.
INSERT INTO public.imported_conversations (user_id, conversation_id, content_hash, settings_hash, title, create_time,
    update_time, node_count, message_count, chunk_count, import_id, imported_at, seen_in)
SELECT 'bench', gen_random_uuid(), encode(sha256(n::text::bytea), 'hex'), 'settings', 'title', now(), now(), 9, 8, 2,
    'earlier', now(), 'earlier'
FROM generate_series(1, current_setting('bench.already')::integer) n;
INSERT INTO public.conversation_chunks (id, user_id, conversation_id, thread, title, content, chunk_tier, chunk_index,
    chunk_count, token_count, message_count, node_ids, created_at, is_recent, import_id)
SELECT gen_random_uuid(), 'bench', conversation_id, 'main', 'title', 'content', 'medium', n, 2, 2, 4, '[]', now(), false,
    'earlier'
FROM public.imported_conversations, generate_series(0, 1) n;

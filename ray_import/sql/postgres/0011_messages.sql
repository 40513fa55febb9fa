-- Messages, each stored once beside the chunks; what a reader wants to know of a conversation; the product in all keys; and
-- hashes that begin with the name of their algorithm.
begin;

alter table public.conversation_chunks
    add column if not exists product text not null default 'chatgpt',
    -- [{node, start, fresh, end, at, context}], in bytes of UTF-8: from byte `at` on the content shows the bytes
    -- [start, end) of the text of that message.
    add column if not exists spans   jsonb;
-- conversation_chunks_by_conversation stays as it is: a conversation's id alone finds its few rows.

alter table public.imported_conversations
    add column if not exists product      text not null default 'chatgpt',
    add column if not exists has_messages boolean not null default false,  -- its messages are stored
    add column if not exists model        text,
    add column if not exists is_starred   boolean not null default false,
    add column if not exists is_archived  boolean not null default false,
    add column if not exists project      text,
    add column if not exists memory_scope text;

alter table public.import_rejects add column if not exists product text not null default 'chatgpt';

-- An earlier service may have user ids of another type than text: a message has the same as a chunk. A table of that name
-- that is not ray_import's stays as it is.
do $$
declare
    user_type text := (
        select format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = 'public.conversation_chunks'::regclass and attname = 'user_id');
    missing text;
begin
    select string_agg(name, ', ') into missing
    from unnest(array['user_id', 'product', 'conversation_id', 'node_id', 'parent_id', 'thread', 'on_active_path',
        'position', 'role', 'created_at', 'model', 'text', 'quoted', 'attachments', 'import_id']) name
    where to_regclass('public.conversation_messages') is not null and not exists (
        select from pg_attribute
        where attrelid = to_regclass('public.conversation_messages') and attname = name and not attisdropped);
    if missing is not null then
        raise exception 'there is a conversation_messages without the columns %', missing
            using errcode = 'RI001', hint = 'Rename that table, or the columns back, and run this again.';
    end if;
    execute format($table$
        create table if not exists public.conversation_messages (
            user_id         %s not null,
            product         text not null default 'chatgpt',
            conversation_id text not null,
            node_id         text not null,
            parent_id       text,                       -- the nearest stored message above it in the tree
            thread          text not null,              -- 'main', or the node with which a side branch begins
            on_active_path  boolean not null,
            position        integer not null,           -- from 0, in the order of the conversation
            role            text not null,
            created_at      timestamptz,
            model           text,
            text            text not null,              -- the author's own words alone
            quoted          text not null default '',   -- the words of an answer that a question is about
            attachments     jsonb not null default '[]',  -- names of files
            import_id       text not null,
            primary key (user_id, conversation_id, product, node_id)
        )$table$, user_type);
end $$;
-- Partial, so that no plan can take it for the delete in ray_import_replace, which needs the primary key. A query with a
-- range of times finds it.
create index if not exists conversation_messages_by_time on public.conversation_messages (user_id, created_at)
    where created_at is not null;
alter table public.conversation_messages enable row level security;

do $$
begin
    alter table public.conversation_messages alter column text set compression lz4;
exception when feature_not_supported then
    null;
end $$;

-- The product becomes part of two keys; last, so that a query without it uses their indexes, too.
do $$
declare
    a_key record;
    v_columns name[];
    v_constraint name;
    v_detail text;
begin
    for a_key in
        select * from (values
            ('imported_conversations', array['user_id', 'conversation_id', 'product']::name[]),
            ('import_rejects', array['user_id', 'raw_hash', 'product']::name[])) as k (of_table, columns)
    loop
        select c.conname, array(
            select a.attname from unnest(c.conkey) with ordinality as part (number, place)
            join pg_attribute a on a.attrelid = c.conrelid and a.attnum = part.number order by part.place)
        into v_constraint, v_columns
        from pg_constraint c where c.conrelid = format('public.%I', a_key.of_table)::regclass and c.contype = 'p';
        continue when v_columns = a_key.columns;
        if v_constraint is not null then
            execute format('alter table public.%I drop constraint %I', a_key.of_table, v_constraint);
        end if;
        execute format('alter table public.%I add primary key (%s)', a_key.of_table,
            (select string_agg(quote_ident(name), ', ' order by place)
             from unnest(a_key.columns) with ordinality as part (name, place)));
    end loop;
exception when dependent_objects_still_exist then
    get stacked diagnostics v_detail = pg_exception_detail;
    raise exception 'the primary key of % is used by: %', a_key.of_table, replace(v_detail, e'\n', '; ')
        using errcode = 'RI001',
        hint = 'Drop these, run this again, and create them anew with the column product.';
end $$;

drop function if exists public.ray_import_known(text, text, jsonb);
drop function if exists public.ray_import_write(jsonb, json);
drop function if exists public.ray_import_put_chunks(text, text, uuid[], text[], text[], text[], text[], text[], integer[],
    integer[], integer[], integer[], jsonb[], timestamptz[], boolean[]);
drop function if exists public.ray_import_mark_seen(text, text, jsonb, jsonb);
drop function if exists public.ray_import_prune(text, text);
drop function if exists public.ray_import_takes_none(text, text, jsonb);
drop function if exists public.ray_import_withdraw_rejects(text, text, text);

-- About plans see 0002: what is looked up for each conversation is looked up by an index, one by one.

-- {hash: [import_id, message_count]} of those of the hashes that are stored, made with these settings.
create or replace function public.ray_import_known(
    p_user_id text, p_product text, p_settings_hash text, p_hashes jsonb)
returns jsonb language sql stable set search_path = '' set enable_seqscan = off as $$
    select coalesce(jsonb_object_agg(asked.hash, jsonb_build_array(l.import_id, l.message_count)), '{}')
    from jsonb_array_elements_text(p_hashes) asked(hash), lateral (
        select user_id, product, settings_hash, import_id, message_count
        from public.imported_conversations where content_hash = asked.hash
        union all
        select user_id, product, settings_hash, import_id, message_count
        from public.imported_conversations where other_hash = asked.hash
        offset 0) l
    where l.user_id = p_user_id and l.product = p_product and l.settings_hash = p_settings_hash;
$$;

-- Decides for each conversation of a batch, which is of one user and product (docs/extraction.md, "copies"), and prepares
-- its place: sets the ledger, deletes the old chunks and messages. The caller inserts the new ones in the same transaction,
-- for those whose fate is 'put_in'. Within a batch a conversation comes once. Returns [{conversation_id, fate, deleted,
-- chunk_count, own_messages}], in the batch's order.
create or replace function public.ray_import_replace(p_batch jsonb)
returns jsonb language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_user text := p_batch ->> 'user_id';
    v_owner public.conversation_chunks.user_id%type := p_batch ->> 'user_id';
    v_author public.conversation_messages.user_id%type := p_batch ->> 'user_id';
    v_product text := p_batch ->> 'product';
    v_import text := p_batch ->> 'import_id';
    v_settings text := p_batch ->> 'settings_hash';
    v_imported_at timestamptz := p_batch ->> 'imported_at';
    v_fates jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_batch -> 'conversations')]);
    v_let_go text[] := array(select jsonb_array_elements_text(p_batch -> 'settled'));
    v_fate text;
    v_own_messages integer;
    v_other_hash text;
    v_deleted integer;
    l public.imported_conversations;
    c record;
begin
    -- In the order of their ids, so that two workers with the same conversations wait, and do not lock each other out.
    for c in
        select * from rows from (jsonb_to_recordset(p_batch -> 'conversations') as (conversation_id text,
            content_hash text, title text, create_time timestamptz, update_time timestamptz, node_count integer,
            message_count integer, chunk_count integer, has_messages boolean, model text, is_starred boolean,
            is_archived boolean, project text, memory_scope text)) with ordinality
        order by conversation_id collate "C"
    loop
        v_own_messages := null;
        v_other_hash := null;
        v_deleted := 0;
        v_let_go := v_let_go || c.content_hash;
        insert into public.imported_conversations (user_id, product, conversation_id, content_hash, settings_hash, title,
            create_time, update_time, node_count, message_count, chunk_count, has_messages, model, is_starred,
            is_archived, project, memory_scope, import_id, imported_at, seen_in)
        values (v_user, v_product, c.conversation_id, c.content_hash, v_settings, c.title, c.create_time, c.update_time,
            c.node_count, c.message_count, c.chunk_count, c.has_messages, c.model, c.is_starred, c.is_archived, c.project,
            c.memory_scope, v_import, v_imported_at, v_import)
        on conflict (user_id, conversation_id, product) do nothing;
        if found then
            v_fate := 'put_in';
        else
            select * into l from public.imported_conversations
            where user_id = v_user and product = v_product and conversation_id = c.conversation_id for update;
            if not found then
                raise exception 'a conversation was deleted meanwhile' using errcode = 'serialization_failure';
            end if;
            v_fate := case
                when l.import_id = v_import and (l.content_hash, l.settings_hash) = (c.content_hash, v_settings)
                    then 'same'
                when (coalesce(l.update_time, '-infinity'), l.node_count)
                    > (coalesce(c.update_time, '-infinity'), c.node_count) then 'older'
                when l.import_id <> v_import then 'put_in'
                when (l.update_time, l.node_count) is not distinct from (c.update_time, c.node_count)
                    and l.content_hash collate "C" > c.content_hash then 'passed_over'
                else 'put_in' end;
            if v_fate = 'passed_over' then
                update public.imported_conversations set other_hash = c.content_hash
                where user_id = v_user and product = v_product and conversation_id = c.conversation_id;
            elsif v_fate = 'put_in' then
                if l.import_id = v_import then
                    v_own_messages := l.message_count;
                    if (l.update_time, l.node_count) is not distinct from (c.update_time, c.node_count) then
                        v_other_hash := l.content_hash;
                    end if;
                end if;
                update public.imported_conversations
                set content_hash = c.content_hash, other_hash = v_other_hash, settings_hash = v_settings,
                    title = c.title, create_time = c.create_time, update_time = c.update_time,
                    node_count = c.node_count, message_count = c.message_count, chunk_count = c.chunk_count,
                    has_messages = c.has_messages, model = c.model, is_starred = c.is_starred,
                    is_archived = c.is_archived, project = c.project, memory_scope = c.memory_scope,
                    import_id = v_import, imported_at = v_imported_at, seen_in = v_import
                where user_id = v_user and product = v_product and conversation_id = c.conversation_id;
            end if;
        end if;
        if v_fate = 'put_in' then  -- also if the ledger did not have it: an earlier service may have left chunks
            delete from public.conversation_chunks where id = any (array(
                select old.id from (
                    select id, user_id, product from public.conversation_chunks
                    where conversation_id = c.conversation_id offset 0) old
                where old.user_id = v_owner and old.product = v_product));
            get diagnostics v_deleted = row_count;
            delete from public.conversation_messages
            where user_id = v_author and product = v_product and conversation_id = c.conversation_id;
        end if;
        v_fates[c.ordinality] := jsonb_build_object('conversation_id', c.conversation_id, 'fate', v_fate,
            'deleted', v_deleted, 'own_messages', v_own_messages,
            'chunk_count', case v_fate when 'same' then l.chunk_count else c.chunk_count end);
    end loop;

    delete from public.import_rejects where user_id = v_user and product = v_product and raw_hash = any (v_let_go);

    insert into public.import_rejects (import_id, user_id, product, source_member, position, conversation_id, reason, raw,
        raw_hash)
    select v_import, v_user, v_product, r.member, r.position, r.conversation_id, r.reason, decode(r.raw, 'base64'),
        r.raw_hash
    from jsonb_to_recordset(p_batch -> 'rejects') as r(member text, position bigint, conversation_id text, reason text,
        raw text, raw_hash text)
    on conflict (user_id, raw_hash, product) do nothing;

    return to_jsonb(v_fates);
end $$;

-- A batch whose chunks and messages come as JSON: for the REST interface, which does not say which constraint was violated.
-- If it is a foreign key on the user id, writes nothing and returns {"unknown_user": true}.
create or replace function public.ray_import_write(p_batch jsonb, p_chunks json, p_messages json)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_fates jsonb;
    v_put_in text[];
    v_schema text;
    v_table text;
    v_constraint text;
begin
    v_fates := public.ray_import_replace(p_batch);
    v_put_in := array(
        select fate ->> 'conversation_id' from jsonb_array_elements(v_fates) fate where fate ->> 'fate' = 'put_in');
    insert into public.conversation_chunks (id, user_id, product, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, spans, created_at, is_recent, import_id)
    select id, user_id, product, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, spans, created_at, is_recent, import_id
    from json_populate_recordset(null::public.conversation_chunks, p_chunks) c
    where c.conversation_id = any (v_put_in);
    insert into public.conversation_messages (user_id, product, conversation_id, node_id, parent_id, thread,
        on_active_path, position, role, created_at, model, text, quoted, attachments, import_id)
    select user_id, product, conversation_id, node_id, parent_id, thread,
        on_active_path, position, role, created_at, model, text, quoted, attachments, import_id
    from json_populate_recordset(null::public.conversation_messages, p_messages) m
    where m.conversation_id = any (v_put_in);
    set constraints all immediate;  -- what would be checked at the commit is checked here
    return v_fates;
exception when foreign_key_violation then
    get stacked diagnostics v_schema = schema_name, v_table = table_name, v_constraint = constraint_name;
    if public.ray_import_is_on_user(v_schema, v_table, v_constraint) then
        return '{"unknown_user": true}'::jsonb;
    end if;
    raise;
end $$;

-- Inserts chunks of one user, product and import, column by column: for a driver, after ray_import_replace and in the same
-- transaction.
create or replace function public.ray_import_put_chunks(
    p_user_id text, p_product text, p_import_id text, p_id uuid[], p_conversation_id text[], p_thread text[],
    p_title text[], p_content text[], p_chunk_tier text[], p_chunk_index integer[], p_chunk_count integer[],
    p_token_count integer[], p_message_count integer[], p_node_ids jsonb[], p_spans jsonb[], p_created_at timestamptz[],
    p_is_recent boolean[])
returns void language plpgsql set search_path = '' as $$
declare
    v_owner public.conversation_chunks.user_id%type := p_user_id;
begin
    insert into public.conversation_chunks (user_id, product, import_id, id, conversation_id, thread, title, content,
        chunk_tier, chunk_index, chunk_count, token_count, message_count, node_ids, spans, created_at, is_recent)
    select v_owner, p_product, p_import_id, c.* from unnest(p_id, p_conversation_id, p_thread, p_title, p_content,
        p_chunk_tier, p_chunk_index, p_chunk_count, p_token_count, p_message_count, p_node_ids, p_spans, p_created_at,
        p_is_recent) c;
end $$;

-- The same with messages.
create or replace function public.ray_import_put_messages(
    p_user_id text, p_product text, p_import_id text, p_conversation_id text[], p_node_id text[], p_parent_id text[],
    p_thread text[], p_on_active_path boolean[], p_position integer[], p_role text[], p_created_at timestamptz[],
    p_model text[], p_text text[], p_quoted text[], p_attachments jsonb[])
returns void language plpgsql set search_path = '' as $$
declare
    v_author public.conversation_messages.user_id%type := p_user_id;
begin
    insert into public.conversation_messages (user_id, product, import_id, conversation_id, node_id, parent_id, thread,
        on_active_path, position, role, created_at, model, text, quoted, attachments)
    select v_author, p_product, p_import_id, m.* from unnest(p_conversation_id, p_node_id, p_parent_id, p_thread,
        p_on_active_path, p_position, p_role, p_created_at, p_model, p_text, p_quoted, p_attachments) m;
end $$;

-- Marks conversations that an import with --prune has met in its export, by their hashes and ids.
create or replace function public.ray_import_mark_seen(
    p_import_id text, p_user_id text, p_product text, p_hashes jsonb, p_ids jsonb)
returns void language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_id text;
begin
    for v_id in
        select l.conversation_id
        from jsonb_array_elements_text(p_hashes) met(hash), lateral (
            select user_id, product, conversation_id from public.imported_conversations where content_hash = met.hash
            union all
            select user_id, product, conversation_id from public.imported_conversations where other_hash = met.hash
            offset 0) l
        where l.user_id = p_user_id and l.product = p_product
        union
        select jsonb_array_elements_text(p_ids)
        order by 1
    loop
        update public.imported_conversations set seen_in = p_import_id
        where user_id = p_user_id and product = p_product and conversation_id = v_id
            and seen_in is distinct from p_import_id;
    end loop;
end $$;

-- Deletes the conversations of a product that the export of this import would hold if they still existed: those that the
-- import has not seen and that are no newer than the newest that it has. Returns {conversations, chunks}.
create or replace function public.ray_import_prune(p_import_id text, p_user_id text, p_product text)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_owner public.conversation_chunks.user_id%type := p_user_id;
    v_author public.conversation_messages.user_id%type := p_user_id;
    v_newest timestamptz;
    v_gone text[];
    v_chunks integer;
begin
    select max(coalesce(update_time, create_time)) into v_newest
    from public.imported_conversations where user_id = p_user_id and product = p_product and seen_in = p_import_id;
    with gone as (
        delete from public.imported_conversations
        where user_id = p_user_id and product = p_product and seen_in is distinct from p_import_id
          and coalesce(update_time, create_time, '-infinity') <= v_newest
        returning conversation_id
    )
    select coalesce(array_agg(conversation_id), '{}') into v_gone from gone;
    delete from public.conversation_chunks
    where user_id = v_owner and product = p_product and conversation_id = any (v_gone);
    get diagnostics v_chunks = row_count;
    delete from public.conversation_messages
    where user_id = v_author and product = p_product and conversation_id = any (v_gone);
    return jsonb_build_object('conversations', cardinality(v_gone), 'chunks', v_chunks);
end $$;

-- Stores the rejects of a batch that are not stored yet, and deletes those whose hash is among its `settled`. Of all that
-- the import meets no more than p_most of p_most_bytes are stored (null: all). Returns how many are not stored for that.
create or replace function public.ray_import_keep_rejects(p_batch jsonb, p_most integer, p_most_bytes bigint)
returns integer language plpgsql set search_path = '' as $$
declare
    v_user text := p_batch ->> 'user_id';
    v_product text := p_batch ->> 'product';
    v_import text := p_batch ->> 'import_id';
    v_rejects jsonb := p_batch -> 'rejects';
    v_kept bigint := 0;
    v_bytes bigint := 0;
    v_left integer := 0;
    r record;
begin
    delete from public.import_rejects
    where user_id = v_user and product = v_product
        and raw_hash = any (array(select jsonb_array_elements_text(p_batch -> 'settled')));
    if jsonb_array_length(v_rejects) = 0 then
        return 0;
    end if;
    if p_most is not null then
        -- One worker at a time counts and adds.
        perform pg_advisory_xact_lock(hashtextextended('ray_import_keep_rejects ' || v_import, 0));
        update public.import_rejects set seen_in = v_import
        where user_id = v_user and product = v_product and import_id <> v_import and seen_in is distinct from v_import
            and raw_hash = any (array(select one ->> 'raw_hash' from jsonb_array_elements(v_rejects) one));
        select count(*), coalesce(sum(octet_length(raw)), 0) into v_kept, v_bytes
        from public.import_rejects
        where user_id = v_user and product = v_product and v_import in (import_id, seen_in);
    end if;
    for r in
        select member, position, conversation_id, reason, decode(raw, 'base64') as raw, raw_hash
        from jsonb_to_recordset(v_rejects) as x(member text, position bigint, conversation_id text, reason text, raw text,
            raw_hash text)
    loop
        if exists (
            select from public.import_rejects where user_id = v_user and product = v_product and raw_hash = r.raw_hash)
        then
            continue;
        end if;
        if v_kept >= p_most or v_bytes + octet_length(r.raw) > p_most_bytes then
            v_left := v_left + 1;
            continue;
        end if;
        insert into public.import_rejects
            (import_id, user_id, product, source_member, position, conversation_id, reason, raw, raw_hash)
        values (v_import, v_user, v_product, r.member, r.position, r.conversation_id, r.reason, r.raw, r.raw_hash)
        on conflict (user_id, raw_hash, product) do nothing;
        v_kept := v_kept + 1;
        v_bytes := v_bytes + octet_length(r.raw);
    end loop;
    return v_left;
end $$;

-- Whether this import has written no chunks. False as well if p_hashes are given and all of them are stored as rejects of
-- earlier imports; those that failed before they wrote any chunks do not count.
create or replace function public.ray_import_takes_none(
    p_import_id text, p_user_id text, p_product text, p_hashes jsonb)
returns boolean language sql stable set search_path = '' as $$
    select not exists (
            select from public.imported_conversations
            where user_id = p_user_id and product = p_product and import_id = p_import_id and chunk_count > 0)
        and (jsonb_array_length(p_hashes) = 0 or exists (
            select from jsonb_array_elements_text(p_hashes) asked(hash) where not exists (
                select from public.import_rejects
                where user_id = p_user_id and product = p_product and raw_hash = asked.hash
                    and import_id <> p_import_id
                    and import_id not in (select public.ray_import_failed_without_chunks(p_user_id)))));
$$;

-- Deletes what this import, and those that failed before they wrote any chunks, have stored as rejects for a reason. False
-- if there was nothing, and earlier imports have stored rejects of the user for this reason.
create or replace function public.ray_import_withdraw_rejects(
    p_import_id text, p_user_id text, p_product text, p_reason text)
returns boolean language plpgsql set search_path = '' as $$
begin
    delete from public.import_rejects
    where user_id = p_user_id and product = p_product and reason = p_reason
        and (import_id = p_import_id or import_id in (select public.ray_import_failed_without_chunks(p_user_id)));
    return found or not exists (
        select from public.import_rejects where user_id = p_user_id and product = p_product and reason = p_reason);
end $$;

-- Rejects without their bytes, the newest import's first, then in their files' order.
create or replace function public.ray_import_rejects(p_user_id text)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('raw_hash', r.raw_hash, 'user_id', r.user_id, 'product', r.product,
            'import_id', r.import_id, 'import_started_at', j.started_at, 'member', r.source_member,
            'position', r.position, 'conversation_id', r.conversation_id, 'reason', r.reason,
            'size_bytes', length(r.raw))
        order by j.started_at desc nulls last, r.import_id, r.source_member, r.position), '[]')
    from public.import_rejects r left join public.import_jobs j on j.id = r.import_id
    where p_user_id is null or r.user_id = p_user_id;
$$;

-- The conversations that are stored, for readers. A view or table of that name that is not ray_import's stays as it is, and
-- there is no view then. With `security_invoker` a user sees what they see of imported_conversations; before Postgres 15,
-- which does not have it, the view would show all rows, so users may not read it.
do $$
declare
    has_invoker constant boolean := current_setting('server_version_num')::integer >= 150000;
    ours constant text := 'ray_import: what a reader wants to know of a conversation';
    a_role text;
begin
    if to_regclass('public.conversations') is not null
        and obj_description(to_regclass('public.conversations'), 'pg_class') is distinct from ours then
        raise notice 'public.conversations is not of ray_import: the view of that name was not made.';
        return;
    end if;
    execute 'create or replace view public.conversations'
        || case when has_invoker then ' with (security_invoker = true)' else '' end
        || $view$ as
            select user_id, product, conversation_id, title,
                case when product = 'chatgpt' and conversation_id not like 'unidentified-%' and conversation_id not like 'sha256:%'
                    then 'https://chatgpt.com/c/' || conversation_id end as link,
                create_time, update_time, model, is_starred, is_archived, project, memory_scope, has_messages,
                message_count, chunk_count, (
                    select count(distinct c.thread)::integer from public.conversation_chunks c
                    where c.conversation_id = i.conversation_id and c.user_id::text = i.user_id
                        and c.product = i.product) as thread_count
            from public.imported_conversations i $view$;
    execute format('comment on view public.conversations is %L', ours);
    for a_role in
        select 'public' union all
        select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role', 'ray_importer')
    loop
        execute format('revoke all on public.conversations from %s', a_role);
        if a_role in ('service_role', 'ray_importer')
            or a_role = 'authenticated' and has_invoker and to_regprocedure('auth.uid()') is not null then
            execute format('grant select on public.conversations to %s', a_role);
        end if;
    end loop;
end $$;

-- Who may do what with messages: as with chunks (0003).
do $$
declare
    a_role text;
    user_type text;
begin
    for a_role in
        select 'public' union all
        select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role', 'ray_importer')
    loop
        if a_role in ('public', 'anon', 'authenticated') then
            execute format('revoke all on public.conversation_messages from %s', a_role);
        else
            execute format('grant select, insert, update, delete on public.conversation_messages to %s', a_role);
        end if;
    end loop;
    if exists (select from pg_roles where rolname = 'ray_importer') then
        drop policy if exists ray_importer_writes on public.conversation_messages;
        create policy ray_importer_writes on public.conversation_messages to ray_importer using (true) with check (true);
    end if;
    if to_regprocedure('auth.uid()') is not null then
        select format_type(atttypid, atttypmod) into user_type from pg_attribute
        where attrelid = 'public.conversation_messages'::regclass and attname = 'user_id';
        grant select on public.conversation_messages to authenticated;
        drop policy if exists ray_import_own_rows on public.conversation_messages;
        execute format('create policy ray_import_own_rows on public.conversation_messages for select to authenticated'
            ' using (user_id = (select auth.uid())::%s)', user_type);
    end if;
end $$;

-- Only the importing roles may call functions. Those that write find what a trigger of the user's names without a schema,
-- as 0010 explains.
do $$
declare
    is_public_closed constant boolean := not (has_schema_privilege('public', 'public', 'create') or exists (
        select from pg_namespace where nspname = 'extensions' and has_schema_privilege('public', oid, 'create')));
    a_role text;
    a_function regprocedure;
    is_writing boolean;
begin
    for a_function, is_writing in
        select oid::regprocedure, provolatile = 'v' from pg_proc
        where pronamespace = 'public'::regnamespace and proname like 'ray\_import\_%'
    loop
        if is_writing and is_public_closed then
            execute format('alter function %s set search_path = public, extensions', a_function);
        end if;
        for a_role in
            select 'public' union all
            select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role', 'ray_importer')
        loop
            execute format('revoke all on function %s from %s', a_function, a_role);
            if a_role in ('service_role', 'ray_importer') then
                execute format('grant execute on function %s to %s', a_function, a_role);
            end if;
        end loop;
    end loop;
end $$;

-- Earlier hashes are the same digits without the algorithm's name. Last, because a deferred trigger that waits for the end
-- of the transaction would forbid the changes to the tables above.
update public.imported_conversations
set content_hash = regexp_replace(content_hash, '^[0-9a-f]+$', 'sha256:\&'),
    other_hash = regexp_replace(other_hash, '^[0-9a-f]+$', 'sha256:\&'),
    settings_hash = regexp_replace(settings_hash, '^[0-9a-f]+$', 'sha256:\&')
where content_hash ~ '^[0-9a-f]+$' or other_hash ~ '^[0-9a-f]+$' or settings_hash ~ '^[0-9a-f]+$';
update public.import_rejects set raw_hash = 'sha256:' || raw_hash where raw_hash ~ '^[0-9a-f]+$';
update public.import_runs set settings_hash = 'sha256:' || settings_hash where settings_hash ~ '^[0-9a-f]+$';

insert into public.ray_import_migrations (version) values (11) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

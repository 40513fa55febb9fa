-- All that ray_import does in the database: each function is one transaction's work, and may safely be called again.
begin;

-- Of a user who has much, what is looked up is looked up by an index, one by one: the planner, which knows nothing of a
-- table that has just grown, would rather read all that the user has, for every batch. So there are loops and `lateral
-- (... offset 0)`, which it keeps as they are, and no sequential scans where a plan is kept.

-- {hash: [import_id, message_count]} of those of the hashes that are in, made with these settings.
create or replace function public.ray_import_known(p_user_id text, p_settings_hash text, p_hashes jsonb)
returns jsonb language sql stable set search_path = '' set enable_seqscan = off as $$
    select coalesce(jsonb_object_agg(asked.hash, jsonb_build_array(l.import_id, l.message_count)), '{}')
    from jsonb_array_elements_text(p_hashes) asked(hash), lateral (
        select user_id, settings_hash, import_id, message_count
        from public.imported_conversations where content_hash = asked.hash
        union all
        select user_id, settings_hash, import_id, message_count
        from public.imported_conversations where other_hash = asked.hash
        offset 0) l
    where l.user_id = p_user_id and l.settings_hash = p_settings_hash;
$$;

-- Decides for each conversation of a batch (docs/extraction.md, "copies") and prepares its place: the ledger is set, the
-- old chunks are gone. The new chunks are for the caller to put in, in the same transaction, for those whose fate is
-- 'put_in'. Within a batch a conversation comes once. Gives [{conversation_id, fate, deleted, chunk_count,
-- own_messages}], in the batch's order.
create or replace function public.ray_import_replace(p_batch jsonb)
returns jsonb language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_user text := p_batch ->> 'user_id';
    v_owner public.conversation_chunks.user_id%type := p_batch ->> 'user_id';
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
            message_count integer, chunk_count integer)) with ordinality
        order by conversation_id collate "C"
    loop
        v_own_messages := null;
        v_other_hash := null;
        v_deleted := 0;
        v_let_go := v_let_go || c.content_hash;
        insert into public.imported_conversations (user_id, conversation_id, content_hash, settings_hash, title,
            create_time, update_time, node_count, message_count, chunk_count, import_id, imported_at, seen_in)
        values (v_user, c.conversation_id, c.content_hash, v_settings, c.title, c.create_time, c.update_time,
            c.node_count, c.message_count, c.chunk_count, v_import, v_imported_at, v_import)
        on conflict (user_id, conversation_id) do nothing;
        if found then
            v_fate := 'put_in';
        else
            select * into l from public.imported_conversations
            where user_id = v_user and conversation_id = c.conversation_id for update;
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
                where user_id = v_user and conversation_id = c.conversation_id;
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
                    import_id = v_import, imported_at = v_imported_at, seen_in = v_import
                where user_id = v_user and conversation_id = c.conversation_id;
            end if;
        end if;
        if v_fate = 'put_in' then  -- also of one that is new to the ledger: of an earlier service there may be chunks
            delete from public.conversation_chunks where id = any (array(
                select old.id from (
                    select id, user_id from public.conversation_chunks
                    where conversation_id = c.conversation_id offset 0) old
                where old.user_id = v_owner));
            get diagnostics v_deleted = row_count;
        end if;
        v_fates[c.ordinality] := jsonb_build_object('conversation_id', c.conversation_id, 'fate', v_fate,
            'deleted', v_deleted, 'own_messages', v_own_messages,
            'chunk_count', case v_fate when 'same' then l.chunk_count else c.chunk_count end);
    end loop;

    delete from public.import_rejects where user_id = v_user and raw_hash = any (v_let_go);

    insert into public.import_rejects (import_id, user_id, source_member, position, conversation_id, reason, raw, raw_hash)
    select v_import, v_user, r.member, r.position, r.conversation_id, r.reason, decode(r.raw, 'base64'), r.raw_hash
    from jsonb_to_recordset(p_batch -> 'rejects') as r(member text, position bigint, conversation_id text, reason text,
        raw text, raw_hash text)
    on conflict (user_id, raw_hash) do nothing;

    return to_jsonb(v_fates);
end $$;

-- A batch whose chunks come as JSON: for the REST interface.
create or replace function public.ray_import_write(p_batch jsonb, p_chunks json)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_fates jsonb := public.ray_import_replace(p_batch);
begin
    insert into public.conversation_chunks (id, user_id, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, created_at, is_recent, import_id)
    select id, user_id, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, created_at, is_recent, import_id
    from json_populate_recordset(null::public.conversation_chunks, p_chunks) c
    where c.conversation_id in (
        select f ->> 'conversation_id' from jsonb_array_elements(v_fates) f where f ->> 'fate' = 'put_in');
    return v_fates;
end $$;

-- Puts chunks in, of one user and import, column by column: for a driver, after ray_import_replace and in the same
-- transaction. Fewer copies of the texts are made on the way than by COPY into a temporary table, which Postgres would
-- pack by its own default, and which would have to be made for every batch.
create or replace function public.ray_import_put_chunks(
    p_user_id text, p_import_id text, p_id uuid[], p_conversation_id text[], p_thread text[], p_title text[],
    p_content text[], p_chunk_tier text[], p_chunk_index integer[], p_chunk_count integer[], p_token_count integer[],
    p_message_count integer[], p_node_ids jsonb[], p_created_at timestamptz[], p_is_recent boolean[])
returns void language plpgsql set search_path = '' as $$
declare
    v_owner public.conversation_chunks.user_id%type := p_user_id;
begin
    insert into public.conversation_chunks (user_id, import_id, id, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, created_at, is_recent)
    select v_owner, p_import_id, c.* from unnest(p_id, p_conversation_id, p_thread, p_title, p_content, p_chunk_tier,
        p_chunk_index, p_chunk_count, p_token_count, p_message_count, p_node_ids, p_created_at, p_is_recent) c;
end $$;

-- Conversations that an import with --prune has met in its export, by their hashes and ids.
create or replace function public.ray_import_mark_seen(p_import_id text, p_user_id text, p_hashes jsonb, p_ids jsonb)
returns void language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_id text;
begin
    for v_id in
        select l.conversation_id
        from jsonb_array_elements_text(p_hashes) met(hash), lateral (
            select user_id, conversation_id from public.imported_conversations where content_hash = met.hash
            union all
            select user_id, conversation_id from public.imported_conversations where other_hash = met.hash
            offset 0) l
        where l.user_id = p_user_id
        union
        select jsonb_array_elements_text(p_ids)
        order by 1
    loop
        update public.imported_conversations set seen_in = p_import_id
        where user_id = p_user_id and conversation_id = v_id and seen_in is distinct from p_import_id;
    end loop;
end $$;

-- Deletes the conversations that the export of this import would have held if they still were, and did not: those not
-- seen in it and no newer than the newest that was. Gives {conversations, chunks}.
create or replace function public.ray_import_prune(p_import_id text, p_user_id text)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_owner public.conversation_chunks.user_id%type := p_user_id;
    v_newest timestamptz;
    v_gone text[];
    v_chunks integer;
begin
    select max(coalesce(update_time, create_time)) into v_newest
    from public.imported_conversations where user_id = p_user_id and seen_in = p_import_id;
    with gone as (
        delete from public.imported_conversations
        where user_id = p_user_id and seen_in is distinct from p_import_id
          and coalesce(update_time, create_time, '-infinity') <= v_newest
        returning conversation_id
    )
    select coalesce(array_agg(conversation_id), '{}') into v_gone from gone;
    delete from public.conversation_chunks where user_id = v_owner and conversation_id = any (v_gone);
    get diagnostics v_chunks = row_count;
    return jsonb_build_object('conversations', cardinality(v_gone), 'chunks', v_chunks);
end $$;

-- Begins an import, unless one of the same user is alive: then that one comes back. One that has given no sign of life
-- for p_lease_seconds is ended.
create or replace function public.ray_import_start(
    p_import_id text, p_user_id text, p_source text, p_holder text, p_started_at timestamptz, p_lease_seconds integer)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_owner public.conversation_chunks.user_id%type := p_user_id;  -- fails where it cannot be a user's id
    v_running jsonb;
begin
    update public.import_jobs set status = 'failed', error = 'interrupted', finished_at = updated_at
    where user_id = p_user_id and status = 'running' and updated_at < clock_timestamp() - make_interval(secs => p_lease_seconds);
    insert into public.import_jobs (id, user_id, source, holder, status, started_at, updated_at)
    values (p_import_id, p_user_id, p_source, p_holder, 'running', p_started_at, clock_timestamp())
    on conflict do nothing;
    select jsonb_build_object('id', id, 'holder', holder, 'counts', counts, 'started_at', started_at,
        'silent_seconds', extract(epoch from clock_timestamp() - updated_at))
    into v_running
    from public.import_jobs where user_id = p_user_id and status = 'running' and id <> p_import_id;
    return v_running;
end $$;

-- A sign of life. False where the import is not running any more: another one has taken its place.
create or replace function public.ray_import_beat(p_import_id text)
returns boolean language plpgsql set search_path = '' as $$
begin
    update public.import_jobs set updated_at = clock_timestamp() where id = p_import_id and status = 'running';
    return found;
end $$;

-- Sets the counts of a running import and, at its end, how it ended. False where it is not running any more; but to say
-- once more how it ended is no error.
create or replace function public.ray_import_update(p_import_id text, p_counts jsonb, p_status text, p_error text)
returns boolean language plpgsql set search_path = '' as $$
begin
    update public.import_jobs
    set status = p_status, counts = p_counts, error = p_error, updated_at = clock_timestamp(),
        finished_at = case when p_status <> 'running' then clock_timestamp() end
    where id = p_import_id and status = 'running';
    return found or exists (select from public.import_jobs where id = p_import_id and status = p_status);
end $$;

-- All imports, newest first; one that says that it runs, but is silent, is told as interrupted.
create or replace function public.ray_import_jobs(p_lease_seconds integer)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(j) - 'number' - 'holder' || case
            when status = 'running' and updated_at < clock_timestamp() - make_interval(secs => p_lease_seconds)
            then '{"status": "failed", "error": "interrupted"}'::jsonb else '{}' end
        order by started_at desc, number desc), '[]')
    from public.import_jobs j;
$$;

-- Rejects without their bytes, the newest import's first, then in their files' order.
create or replace function public.ray_import_rejects(p_user_id text)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('raw_hash', r.raw_hash, 'user_id', r.user_id,
            'import_id', r.import_id, 'import_started_at', j.started_at, 'member', r.source_member,
            'position', r.position, 'conversation_id', r.conversation_id, 'reason', r.reason,
            'size_bytes', length(r.raw))
        order by j.started_at desc nulls last, r.import_id, r.source_member, r.position), '[]')
    from public.import_rejects r left join public.import_jobs j on j.id = r.import_id
    where p_user_id is null or r.user_id = p_user_id;
$$;

-- A reject's bytes in base64.
create or replace function public.ray_import_reject_bytes(p_user_id text, p_raw_hash text)
returns text language sql stable set search_path = '' as $$
    select encode(raw, 'base64') from public.import_rejects where user_id = p_user_id and raw_hash = p_raw_hash;
$$;

-- Sets columns of the row of a user in a table of the service (--profile-table), which is made where it is not there.
-- With them come total_conversations and total_messages: of what is in.
create or replace function public.ray_import_set_profile(p_table text, p_user_id text, p_values jsonb)
returns void language plpgsql set search_path = '' as $$
declare
    v_values jsonb := p_values || (
        select jsonb_build_object('total_conversations', count(*) filter (where message_count > 0),
            'total_messages', coalesce(sum(message_count), 0))
        from public.imported_conversations where user_id = p_user_id);
    v_columns text := (select string_agg(quote_ident(key), ', ') from jsonb_object_keys(v_values) key);
    v_found integer;
begin
    execute format('update public.%1$I t set (%2$s) = (select %2$s from jsonb_populate_record(null::public.%1$I, $1))'
        ' where t.user_id = (jsonb_populate_record(null::public.%1$I, jsonb_build_object(''user_id'', $2))).user_id',
        p_table, v_columns) using v_values, p_user_id;
    get diagnostics v_found = row_count;
    if v_found = 0 then
        execute format('insert into public.%1$I (user_id, %2$s) select user_id, %2$s'
            ' from jsonb_populate_record(null::public.%1$I, $1 || jsonb_build_object(''user_id'', $2))',
            p_table, v_columns) using v_values, p_user_id;
    end if;
end $$;

create or replace function public.ray_import_version()
returns integer language sql stable set search_path = '' as $$
    select coalesce(max(version), 0) from public.ray_import_migrations;
$$;

insert into public.ray_import_migrations (version) values (2) on conflict do nothing;
commit;

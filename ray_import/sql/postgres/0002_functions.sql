-- All that ray_import does in the database: each function is one transaction's work, and may safely be called again.
begin;

-- {hash: [import_id, message_count]} of those of the hashes that are in, made with these settings.
create or replace function public.ray_import_known(p_user_id text, p_settings_hash text, p_hashes jsonb)
returns jsonb language sql stable set search_path = '' as $$
    with asked as (select jsonb_array_elements_text(p_hashes) as hash),
    found as (
        select asked.hash, l.import_id, l.message_count
        from asked join public.imported_conversations l
            on l.user_id = p_user_id and l.content_hash = asked.hash and l.settings_hash = p_settings_hash
        union all
        select asked.hash, l.import_id, l.message_count
        from asked join public.imported_conversations l
            on l.user_id = p_user_id and l.other_hash = asked.hash and l.settings_hash = p_settings_hash
    )
    select coalesce(jsonb_object_agg(hash, jsonb_build_array(import_id, message_count)), '{}') from found;
$$;

-- Decides for each conversation of a batch (docs/extraction.md, "copies") and prepares its place: the ledger is set, the
-- old chunks are gone. The new chunks are for the caller to put in, in the same transaction, for those whose fate is
-- 'put_in'. Within a batch a conversation comes once. Gives [{conversation_id, fate, deleted, chunk_count,
-- own_messages}], in the batch's order.
create or replace function public.ray_import_replace(p_batch jsonb)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_user text := p_batch ->> 'user_id';
    v_owner public.conversation_chunks.user_id%type := p_batch ->> 'user_id';
    v_import text := p_batch ->> 'import_id';
    v_settings text := p_batch ->> 'settings_hash';
    v_fresh text[];
    v_put_in text[];
    v_fates jsonb;
    v_deleted jsonb;
begin
    -- In the order of their ids, so that two workers with the same conversations wait, and do not lock each other out.
    with fresh as (
        insert into public.imported_conversations (user_id, conversation_id, content_hash, settings_hash, title,
            create_time, update_time, node_count, message_count, chunk_count, import_id, imported_at, seen_in)
        select v_user, c.conversation_id, c.content_hash, v_settings, c.title, c.create_time, c.update_time,
            c.node_count, c.message_count, c.chunk_count, v_import, (p_batch ->> 'imported_at')::timestamptz, v_import
        from jsonb_to_recordset(p_batch -> 'conversations') as c(conversation_id text, content_hash text, title text,
            create_time timestamptz, update_time timestamptz, node_count integer, message_count integer,
            chunk_count integer)
        order by c.conversation_id collate "C"
        on conflict (user_id, conversation_id) do nothing
        returning conversation_id
    )
    select coalesce(array_agg(conversation_id), '{}') into v_fresh from fresh;

    perform 1 from public.imported_conversations l
    where l.user_id = v_user and l.conversation_id <> all (v_fresh)
      and l.conversation_id in (select c ->> 'conversation_id' from jsonb_array_elements(p_batch -> 'conversations') c)
    order by l.conversation_id collate "C" for update;

    with incoming as (
        select c.conversation_id, c.content_hash, c.node_count, c.chunk_count, ordinality,
            coalesce(c.update_time, '-infinity') as update_time, c.conversation_id = any (v_fresh) as fresh
        from rows from (jsonb_to_recordset(p_batch -> 'conversations') as (conversation_id text, content_hash text,
            update_time timestamptz, node_count integer, chunk_count integer)) with ordinality as c
    ), compared as (
        select i.*, l.content_hash as old_hash, l.settings_hash as old_settings, l.message_count as old_messages,
            l.chunk_count as old_chunks, l.import_id = v_import as own,
            (coalesce(l.update_time, '-infinity'), l.node_count) > (i.update_time, i.node_count) as is_older,
            (coalesce(l.update_time, '-infinity'), l.node_count) = (i.update_time, i.node_count) as as_new
        from incoming i left join public.imported_conversations l
            on l.user_id = v_user and l.conversation_id = i.conversation_id and not i.fresh
    ), decided as (
        select *, case
            when fresh then 'put_in'
            when own and old_hash = content_hash and old_settings = v_settings then 'same'
            when is_older then 'older'
            when own and as_new and old_hash collate "C" > content_hash then 'passed_over'
            else 'put_in'
        end as fate from compared
    )
    select coalesce(jsonb_agg(jsonb_build_object(
            'conversation_id', conversation_id, 'fate', fate, 'fresh', fresh,
            'chunk_count', case fate when 'same' then old_chunks else chunk_count end,
            'own_messages', case when own and fate = 'put_in' then old_messages end,
            'other_hash', case when own and as_new then old_hash end) order by ordinality), '[]'),
        coalesce(array_agg(conversation_id) filter (where fate = 'put_in'), '{}')
    into v_fates, v_put_in from decided;

    update public.imported_conversations l set other_hash = c ->> 'content_hash'
    from jsonb_array_elements(p_batch -> 'conversations') c, jsonb_array_elements(v_fates) f
    where l.user_id = v_user and l.conversation_id = c ->> 'conversation_id'
      and f ->> 'conversation_id' = l.conversation_id and f ->> 'fate' = 'passed_over';

    with gone as (
        delete from public.conversation_chunks
        where user_id = v_owner and conversation_id = any (v_put_in) returning conversation_id
    )
    select coalesce(jsonb_object_agg(conversation_id, n), '{}') into v_deleted
    from (select conversation_id, count(*) as n from gone group by conversation_id) counted;

    update public.imported_conversations l
    set content_hash = c.content_hash, other_hash = f ->> 'other_hash', settings_hash = v_settings, title = c.title,
        create_time = c.create_time, update_time = c.update_time, node_count = c.node_count,
        message_count = c.message_count, chunk_count = c.chunk_count, import_id = v_import,
        imported_at = (p_batch ->> 'imported_at')::timestamptz, seen_in = v_import
    from jsonb_to_recordset(p_batch -> 'conversations') as c(conversation_id text, content_hash text, title text,
            create_time timestamptz, update_time timestamptz, node_count integer, message_count integer,
            chunk_count integer),
        jsonb_array_elements(v_fates) f
    where l.user_id = v_user and l.conversation_id = c.conversation_id
      and f ->> 'conversation_id' = c.conversation_id and f ->> 'fate' = 'put_in' and not (f ->> 'fresh')::boolean;

    delete from public.import_rejects where user_id = v_user and raw_hash in (
        select jsonb_array_elements_text(p_batch -> 'settled')
        union all
        select c ->> 'content_hash' from jsonb_array_elements(p_batch -> 'conversations') c);

    insert into public.import_rejects (import_id, user_id, source_member, position, conversation_id, reason, raw, raw_hash)
    select v_import, v_user, r.member, r.position, r.conversation_id, r.reason, decode(r.raw, 'base64'), r.raw_hash
    from jsonb_to_recordset(p_batch -> 'rejects') as r(member text, position bigint, conversation_id text, reason text,
        raw text, raw_hash text)
    on conflict (user_id, raw_hash) do nothing;

    return (
        select coalesce(jsonb_agg(
            f || jsonb_build_object('deleted', coalesce((v_deleted ->> (f ->> 'conversation_id'))::integer, 0))
            order by ordinality), '[]')
        from jsonb_array_elements(v_fates) with ordinality as fates(f, ordinality));
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

-- A batch whose chunks were copied into the temporary table ray_import_staged, in the same transaction.
create or replace function public.ray_import_write_staged(p_batch jsonb)
returns jsonb language plpgsql as $$
declare
    v_fates jsonb := public.ray_import_replace(p_batch);
begin
    insert into public.conversation_chunks (id, user_id, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, created_at, is_recent, import_id)
    select id, user_id, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, created_at, is_recent, import_id
    from pg_temp.ray_import_staged s
    where s.conversation_id in (
        select f ->> 'conversation_id' from jsonb_array_elements(v_fates) f where f ->> 'fate' = 'put_in');
    return v_fates;
end $$;

-- Conversations that an import with --prune has met in its export, by their hashes and ids.
create or replace function public.ray_import_mark_seen(p_import_id text, p_user_id text, p_hashes jsonb, p_ids jsonb)
returns void language sql set search_path = '' as $$
    update public.imported_conversations set seen_in = p_import_id
    where user_id = p_user_id and seen_in is distinct from p_import_id and (
        content_hash in (select jsonb_array_elements_text(p_hashes))
        or other_hash in (select jsonb_array_elements_text(p_hashes))
        or conversation_id in (select jsonb_array_elements_text(p_ids)));
$$;

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

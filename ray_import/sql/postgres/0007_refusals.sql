-- What is refused: limits for rejects, and a foreign key on the user id told from a conversation at fault. And all rights
-- that a project's default privileges have given away are taken back.
begin;

-- The last import with limits for rejects that met this one again: it counts among that import's.
alter table public.import_rejects add column if not exists seen_in text;

-- Keeps the rejects of a batch that are not kept yet, and deletes those whose hash is among its `settled`. Of all that the
-- import meets no more than p_most of p_most_bytes are kept (null: all). Returns how many are not kept for that.
create or replace function public.ray_import_keep_rejects(p_batch jsonb, p_most integer, p_most_bytes bigint)
returns integer language plpgsql set search_path = '' as $$
declare
    v_user text := p_batch ->> 'user_id';
    v_import text := p_batch ->> 'import_id';
    v_rejects jsonb := p_batch -> 'rejects';
    v_kept bigint := 0;
    v_bytes bigint := 0;
    v_left integer := 0;
    r record;
begin
    delete from public.import_rejects
    where user_id = v_user and raw_hash = any (array(select jsonb_array_elements_text(p_batch -> 'settled')));
    if jsonb_array_length(v_rejects) = 0 then
        return 0;
    end if;
    if p_most is not null then
        -- One worker at a time counts and adds.
        perform pg_advisory_xact_lock(hashtextextended('ray_import_keep_rejects ' || v_import, 0));
        update public.import_rejects set seen_in = v_import
        where user_id = v_user and import_id <> v_import and seen_in is distinct from v_import
            and raw_hash = any (array(select one ->> 'raw_hash' from jsonb_array_elements(v_rejects) one));
        select count(*), coalesce(sum(octet_length(raw)), 0) into v_kept, v_bytes
        from public.import_rejects where user_id = v_user and v_import in (import_id, seen_in);
    end if;
    for r in
        select member, position, conversation_id, reason, decode(raw, 'base64') as raw, raw_hash
        from jsonb_to_recordset(v_rejects) as x(member text, position bigint, conversation_id text, reason text, raw text,
            raw_hash text)
    loop
        if exists (select from public.import_rejects where user_id = v_user and raw_hash = r.raw_hash) then
            continue;
        end if;
        if v_kept >= p_most or v_bytes + octet_length(r.raw) > p_most_bytes then
            v_left := v_left + 1;
            continue;
        end if;
        insert into public.import_rejects
            (import_id, user_id, source_member, position, conversation_id, reason, raw, raw_hash)
        values (v_import, v_user, r.member, r.position, r.conversation_id, r.reason, r.raw, r.raw_hash)
        on conflict (user_id, raw_hash) do nothing;
        v_kept := v_kept + 1;
        v_bytes := v_bytes + octet_length(r.raw);
    end loop;
    return v_left;
end $$;

-- The imports of a user that failed before they wrote any chunks: their rejects do not prove that a conversation is at fault.
create or replace function public.ray_import_failed_without_chunks(p_user_id text)
returns setof text language sql stable set search_path = '' as $$
    select j.id from public.import_jobs j
    where j.user_id = p_user_id and j.status = 'failed' and j.id not in (
        select import_id from public.imported_conversations where user_id = p_user_id and chunk_count > 0);
$$;

-- Whether this import has written no chunks. False as well if p_hashes are given and all of them are kept as rejects of
-- earlier imports; those that failed before they wrote any chunks do not count.
create or replace function public.ray_import_takes_none(p_import_id text, p_user_id text, p_hashes jsonb)
returns boolean language sql stable set search_path = '' as $$
    select not exists (
            select from public.imported_conversations
            where user_id = p_user_id and import_id = p_import_id and chunk_count > 0)
        and (jsonb_array_length(p_hashes) = 0 or exists (
            select from jsonb_array_elements_text(p_hashes) asked(hash) where not exists (
                select from public.import_rejects
                where user_id = p_user_id and raw_hash = asked.hash and import_id <> p_import_id
                    and import_id not in (select public.ray_import_failed_without_chunks(p_user_id)))));
$$;

-- Deletes what this import, and those that failed before they wrote any chunks, have kept as rejects for a reason. False
-- if there was nothing, and earlier imports have kept
-- rejects of the user for this reason.
create or replace function public.ray_import_withdraw_rejects(p_import_id text, p_user_id text, p_reason text)
returns boolean language plpgsql set search_path = '' as $$
begin
    delete from public.import_rejects
    where user_id = p_user_id and reason = p_reason
        and (import_id = p_import_id or import_id in (select public.ray_import_failed_without_chunks(p_user_id)));
    return found or not exists (select from public.import_rejects where user_id = p_user_id and reason = p_reason);
end $$;

-- Whether a foreign key is on a user id, and on nothing else.
create or replace function public.ray_import_is_on_user(p_schema text, p_table text, p_constraint text)
returns boolean language sql stable set search_path = '' as $$
    select exists (
        select from pg_constraint c join pg_class t on t.oid = c.conrelid join pg_namespace n on n.oid = t.relnamespace
        where n.nspname = p_schema and t.relname = p_table and c.conname = p_constraint and c.contype = 'f'
            and not exists (
                select from pg_attribute a
                where a.attrelid = c.conrelid and a.attnum = any (c.conkey) and a.attname <> 'user_id'));
$$;

-- A batch whose chunks come as JSON: for the REST interface, which does not tell which constraint was violated. If it is
-- a foreign key on the user id, nothing is written and {"unknown_user": true} returned.
create or replace function public.ray_import_write(p_batch jsonb, p_chunks json)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_fates jsonb;
    v_schema text;
    v_table text;
    v_constraint text;
begin
    v_fates := public.ray_import_replace(p_batch);
    insert into public.conversation_chunks (id, user_id, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, created_at, is_recent, import_id)
    select id, user_id, conversation_id, thread, title, content, chunk_tier,
        chunk_index, chunk_count, token_count, message_count, node_ids, created_at, is_recent, import_id
    from json_populate_recordset(null::public.conversation_chunks, p_chunks) c
    where c.conversation_id in (
        select f ->> 'conversation_id' from jsonb_array_elements(v_fates) f where f ->> 'fate' = 'put_in');
    set constraints all immediate;  -- what would be checked at the commit is checked here
    return v_fates;
exception when foreign_key_violation then
    get stacked diagnostics v_schema = schema_name, v_table = table_name, v_constraint = constraint_name;
    if public.ray_import_is_on_user(v_schema, v_table, v_constraint) then
        return '{"unknown_user": true}'::jsonb;
    end if;
    raise;
end $$;

-- Who may do what, for all that there is by now: tables, the sequences of their columns, and functions. Where default
-- privileges hand out rights to whatever is made, each migration has to take them back.
do $$
declare
    our_tables constant text[] := array['ray_import_migrations', 'conversation_chunks', 'imported_conversations',
        'import_jobs', 'import_rejects', 'import_runs', 'import_run_users'];
    read_by_users constant text[] := array['conversation_chunks', 'imported_conversations', 'import_jobs',
        'import_rejects'];
    a_table text;
    a_role text;
    a_sequence regclass;
    a_function regprocedure;
    is_importer boolean;
begin
    foreach a_role in array array['public', 'anon', 'authenticated', 'service_role', 'ray_importer'] loop
        continue when a_role <> 'public' and not exists (select from pg_roles where rolname = a_role);
        is_importer := a_role in ('service_role', 'ray_importer');
        for a_function in
            select oid::regprocedure from pg_proc
            where pronamespace = 'public'::regnamespace and proname like 'ray\_import\_%'
        loop
            execute format('revoke all on function %s from %s', a_function, a_role);
            if is_importer then
                execute format('grant execute on function %s to %s', a_function, a_role);
            end if;
        end loop;
        if is_importer then
            execute format('revoke all on public.ray_import_migrations from %s', a_role);
            execute format('grant select on public.ray_import_migrations to %s', a_role);
            continue;
        end if;
        foreach a_table in array our_tables loop
            if a_role <> 'authenticated' or a_table <> all (read_by_users) then  -- 0003 has settled these
                execute format('revoke all on public.%I from %s', a_table, a_role);
            end if;
        end loop;
        -- Those of identity columns, which fill themselves: whoever may insert needs no right on them.
        for a_sequence in
            select d.objid::regclass from pg_depend d
            where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'i'
                and d.refobjid in ('public.import_jobs'::regclass, 'public.import_rejects'::regclass)
                and exists (select from pg_class s where s.oid = d.objid and s.relkind = 'S')
        loop
            execute format('revoke all on sequence %s from %s', a_sequence, a_role);
        end loop;
    end loop;
end $$;

insert into public.ray_import_migrations (version) values (7) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

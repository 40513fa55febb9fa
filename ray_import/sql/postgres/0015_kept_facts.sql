-- The facts of a conversation stay until those that take their place are there; a locked row of a front end stays locked.
begin;

-- Deletes units as ray_import_profile_drop_units does, and adds facts in the same transaction. The units go first, so that a
-- fact of both has the words of the new unit. Of a fact that is there the words with the least bytes stay, so that they do
-- not depend on which unit was first.
create or replace function public.ray_import_profile_replace_units(p_user_id text, p_ids jsonb, p_facts jsonb)
returns void language plpgsql set search_path = '' set enable_seqscan = off as $$
begin
    perform public.ray_import_profile_drop_units(p_user_id, p_ids);
    insert into public.profile_facts as old (user_id, id, category, subject, statement, quote, product, conversation_id,
        node_id, said_at, valid_from, valid_to, status, superseded_by, seen)
    select distinct on (f.id) p_user_id, f.* from jsonb_to_recordset(p_facts) f (id text, category text, subject text,
        statement text, quote text, product text, conversation_id text, node_id text, said_at timestamptz,
        valid_from timestamptz, valid_to timestamptz, status text, superseded_by text, seen integer)
    order by f.id, f.statement collate "C", f.subject collate "C", f.quote collate "C"
    on conflict (user_id, id) do update
    set statement = excluded.statement, subject = excluded.subject, quote = excluded.quote
    where (excluded.statement collate "C", excluded.subject collate "C", excluded.quote collate "C")
        < (old.statement, old.subject, old.quote);
    insert into public.profile_fact_units (user_id, fact_id, unit_id)
    select p_user_id, f.id, f.unit_id from jsonb_to_recordset(p_facts) f (id text, unit_id text)
    on conflict do nothing;
end $$;

-- As in 0013; the units p_replaced are deleted with the facts that came of no other one.
drop function if exists public.ray_import_profile_settle(text, text, jsonb, jsonb, jsonb);
create or replace function public.ray_import_profile_settle(
    p_user_id text, p_settlement text, p_request jsonb, p_units jsonb, p_facts jsonb, p_replaced jsonb)
returns boolean language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_state text;
    v_settlement text;
begin
    select state, settlement into v_state, v_settlement
    from public.profile_requests where user_id = p_user_id and id = p_request ->> 'id' for update;
    if not found then
        return false;
    elsif v_state in ('answered', 'failed') then
        return coalesce(v_settlement = p_settlement, false);
    end if;
    perform public.ray_import_profile_put_requests(p_user_id, jsonb_build_array(p_request), p_settlement);
    insert into public.profile_units
        (user_id, id, product, conversation_id, content_hash, state, reason, attempts, request_id)
    select p_user_id, u.* from jsonb_to_recordset(p_units) u (id text, product text, conversation_id text,
        content_hash text, state text, reason text, attempts integer, request_id text)
    on conflict (user_id, id) do update set product = excluded.product, conversation_id = excluded.conversation_id,
        content_hash = excluded.content_hash, state = excluded.state, reason = excluded.reason,
        attempts = excluded.attempts, request_id = excluded.request_id;
    perform public.ray_import_profile_replace_units(p_user_id, p_replaced, p_facts);
    return true;
end $$;

-- What sets columns of the row t of a front end to those of v: a row whose import_status is locked keeps that, until its
-- profile is forgotten.
create or replace function public.ray_import_profile_column(p_column text)
returns text language sql immutable set search_path = '' as $$
    select case p_column
        when 'import_status' then 'case when t.import_status::text = ''locked'' and v.import_status::text <> ''none'''
            ' then t.import_status else v.import_status end'
        else format('v.%I', p_column) end;
$$;

-- As in 0002; a locked row stays locked.
create or replace function public.ray_import_set_profile(p_table text, p_user_id text, p_values jsonb)
returns void language plpgsql set search_path = '' as $$
declare
    v_values jsonb := p_values || (
        select jsonb_build_object('total_conversations', count(*) filter (where message_count > 0),
            'total_messages', coalesce(sum(message_count), 0))
        from public.imported_conversations where user_id = p_user_id);
    v_columns text;
    v_sources text;
    v_found integer;
begin
    select string_agg(quote_ident(key), ', '), string_agg(public.ray_import_profile_column(key), ', ')
    into v_columns, v_sources
    from jsonb_object_keys(v_values) key;
    execute format('update public.%1$I t set (%2$s) = (select %3$s from jsonb_populate_record(null::public.%1$I, $1) v)'
        ' where t.user_id = (jsonb_populate_record(null::public.%1$I, jsonb_build_object(''user_id'', $2))).user_id',
        p_table, v_columns, v_sources) using v_values, p_user_id;
    get diagnostics v_found = row_count;
    if v_found = 0 then
        execute format('insert into public.%1$I (user_id, %2$s) select user_id, %2$s'
            ' from jsonb_populate_record(null::public.%1$I, $1 || jsonb_build_object(''user_id'', $2))',
            p_table, v_columns) using v_values, p_user_id;
    end if;
end $$;

-- As in 0013; a locked row stays locked, until its profile is forgotten.
create or replace function public.ray_import_publish_profile(p_table text, p_user_id text, p_values jsonb)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_table constant regclass := format('public.%I', p_table)::regclass;
    v_update constant text :=
        'update public.%1$I t set (%2$s) = (select %3$s from jsonb_populate_record(null::public.%1$I, $1) v)'
        ' where t.user_id = (jsonb_populate_record(null::public.%1$I, jsonb_build_object(''user_id'', $2))).user_id';
    v_columns text;
    v_sources text;
    v_given text;
    v_skipped jsonb;
    v_found integer;
begin
    select string_agg(quote_ident(v.key), ', ') filter (where c.is_there),
        string_agg(public.ray_import_profile_column(v.key), ', ') filter (where c.is_there),
        string_agg(quote_ident(v.key), ', ') filter (where c.is_there and v.value <> 'null'),
        coalesce(jsonb_agg(v.key order by v.key collate "C") filter (where not c.is_there), '[]')
    into v_columns, v_sources, v_given, v_skipped
    from jsonb_each(p_values) v, lateral (
        select v.key <> 'user_id' and exists (
            select from pg_attribute
            where attrelid = v_table and attname = v.key and attnum > 0 and not attisdropped and attgenerated = '')
        as is_there) c;
    if v_columns is null then
        return v_skipped;
    end if;
    execute format(v_update, p_table, v_columns, v_sources) using p_values, p_user_id;
    get diagnostics v_found = row_count;
    if v_found = 0 and v_given is not null then
        begin
            execute format('insert into public.%1$I (user_id, %2$s) select user_id, %2$s'
                ' from jsonb_populate_record(null::public.%1$I, $1 || jsonb_build_object(''user_id'', $2))',
                p_table, v_given) using p_values, p_user_id;
        exception when unique_violation then  -- somebody has inserted the row in between
            execute format(v_update, p_table, v_columns, v_sources) using p_values, p_user_id;
            get diagnostics v_found = row_count;
            if v_found = 0 then
                raise;
            end if;
        end;
    end if;
    return v_skipped;
end $$;

-- Only the importing roles may call what is new. What writes finds what a trigger of the user's names without a schema, as
-- 0010 explains.
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
        where pronamespace = 'public'::regnamespace
            and (proname like 'ray\_import\_profile\_%'
                or proname in ('ray_import_set_profile', 'ray_import_publish_profile'))
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

insert into public.ray_import_migrations (version) values (15) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

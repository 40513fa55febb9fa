-- What `ray-import show` reads: which conversations a name may mean, and the messages of one, page by page.
begin;

-- Those with this id; else those whose id begins with it, or whose title contains each of the words. The newest first.
create or replace function public.ray_import_conversations(
    p_user_id text, p_wanted text, p_words jsonb, p_limit integer)
returns jsonb language sql stable set search_path = '' as $$
    with found as (
        select * from public.imported_conversations
        where (p_user_id is null or user_id = p_user_id) and (starts_with(conversation_id, p_wanted) or (
            jsonb_array_length(p_words) > 0 and not exists (
                select from jsonb_array_elements_text(p_words) word where strpos(lower(title), lower(word)) = 0)))
    ), chosen as (
        select * from found
        where conversation_id = p_wanted or not exists (select from found where conversation_id = p_wanted)
        order by coalesce(update_time, create_time) desc nulls last, conversation_id collate "C", user_id collate "C",
            product collate "C"
        limit p_limit
    )
    select coalesce(jsonb_agg(jsonb_build_object(
            'user_id', user_id, 'product', product, 'conversation_id', conversation_id, 'title', title,
            'create_time', create_time, 'update_time', update_time, 'model', model, 'is_starred', is_starred,
            'is_archived', is_archived, 'project', project, 'memory_scope', memory_scope, 'has_messages', has_messages,
            'message_count', message_count, 'chunk_count', chunk_count)
        order by coalesce(update_time, create_time) desc nulls last, conversation_id collate "C", user_id collate "C",
            product collate "C"), '[]')
    from chosen;
$$;

-- The messages of a conversation from a position on, by position: at least one, and no more after p_most_bytes of text.
create or replace function public.ray_import_messages(
    p_user_id text, p_product text, p_conversation_id text, p_from integer, p_most_bytes integer)
returns jsonb language plpgsql stable set search_path = '' as $$
declare
    v_author public.conversation_messages.user_id%type := p_user_id;
begin
    return (
        select coalesce(jsonb_agg(jsonb_build_object(
            'user_id', user_id, 'product', product, 'conversation_id', conversation_id, 'node_id', node_id,
            'parent_id', parent_id, 'thread', thread, 'on_active_path', on_active_path, 'position', position,
            'role', role, 'created_at', created_at, 'model', model, 'text', text, 'quoted', quoted,
            'attachments', attachments, 'import_id', import_id) order by position), '[]')
        from (
            select *, sum(octet_length(text) + octet_length(quoted) + 300) over (
                order by position rows between unbounded preceding and 1 preceding) as bytes_before
            from public.conversation_messages
            where user_id = v_author and product = p_product and conversation_id = p_conversation_id
                and position >= p_from) m
        where coalesce(bytes_before, 0) < p_most_bytes);
end $$;

-- Only the importing roles may call these.
do $$
declare
    a_function regprocedure;
    a_role text;
begin
    foreach a_function in array array[
        'public.ray_import_conversations(text, text, jsonb, integer)'::regprocedure,
        'public.ray_import_messages(text, text, text, integer, integer)'::regprocedure]
    loop
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

insert into public.ray_import_migrations (version) values (12) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

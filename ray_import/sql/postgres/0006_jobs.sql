-- The newest imports instead of all of them, and a begin that is sure of its row.
begin;

drop function if exists public.ray_import_jobs(integer);

-- The newest imports, newest first, of one user or of all; one that says that it runs, but is silent, is told as
-- interrupted.
create or replace function public.ray_import_jobs(p_lease_seconds integer, p_user_id text, p_limit integer)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(j) - 'number' - 'holder' || case
            when status = 'running' and updated_at < clock_timestamp() - make_interval(secs => p_lease_seconds)
            then '{"status": "failed", "error": "interrupted"}'::jsonb else '{}' end
        order by started_at desc, number desc), '[]')
    from (select * from public.import_jobs where p_user_id is null or user_id = p_user_id
        order by started_at desc, number desc limit p_limit) j;
$$;

-- Begins an import, unless another one of the same user runs: gives that one then.
create or replace function public.ray_import_start(
    p_import_id text, p_user_id text, p_source text, p_holder text, p_started_at timestamptz, p_lease_seconds integer)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_owner public.conversation_chunks.user_id%type := p_user_id;  -- fails where it cannot be a user's id
    v_running jsonb;
begin
    update public.import_jobs set status = 'failed', error = 'interrupted', finished_at = updated_at
    where user_id = p_user_id and status = 'running' and updated_at < clock_timestamp() - make_interval(secs => p_lease_seconds);
    loop
        insert into public.import_jobs (id, user_id, source, holder, status, started_at, updated_at)
        values (p_import_id, p_user_id, p_source, p_holder, 'running', p_started_at, clock_timestamp())
        on conflict do nothing;
        exit when found;
        select jsonb_build_object('id', id, 'holder', holder, 'counts', counts, 'started_at', started_at,
            'silent_seconds', extract(epoch from clock_timestamp() - updated_at))
        into v_running
        from public.import_jobs where user_id = p_user_id and status = 'running' and id <> p_import_id;
        -- Where neither is there, the other one has ended in between.
        exit when v_running is not null or exists (select from public.import_jobs where id = p_import_id);
    end loop;
    return v_running;
end $$;

-- Only the importing roles may call what is new; a function that is replaced keeps what was granted.
revoke all on function public.ray_import_jobs(integer, text, integer) from public;
do $$
declare
    a_role text;
begin
    for a_role in
        select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role', 'ray_importer')
    loop
        execute format('revoke all on function public.ray_import_jobs(integer, text, integer) from %I', a_role);
        if a_role in ('service_role', 'ray_importer') then
            execute format('grant execute on function public.ray_import_jobs(integer, text, integer) to %I', a_role);
        end if;
    end loop;
end $$;

insert into public.ray_import_migrations (version) values (6) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

-- One process at a run at a time, which says by which name it holds the run and its imports.
begin;

alter table public.import_runs add column if not exists holder text;  -- host and process of the one that is at it
alter table public.import_runs add column if not exists force boolean not null default false;  -- also what was in

drop function if exists public.ray_import_run_open(text, text, text, jsonb);
drop function if exists public.ray_import_run_save(text, jsonb);
drop function if exists public.ray_import_run_close(text, text);
drop function if exists public.ray_import_run_last(text, text);
drop function if exists public.ray_import_beat(text);

-- Begins a run, or goes on with it, unless another process is at one over the same users: gives that one then.
create or replace function public.ray_import_run_start(
    p_run_id text, p_what text, p_settings_hash text, p_force boolean, p_holder text, p_lease_seconds integer)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_running jsonb;
begin
    perform pg_advisory_xact_lock(hashtextextended('ray_import_run_start ' || p_what, 0));  -- one of two at a moment
    select jsonb_build_object('id', id, 'holder', holder, 'started_at', started_at,
        'silent_seconds', extract(epoch from clock_timestamp() - updated_at))
    into v_running
    from public.import_runs
    where what = p_what and status = 'running' and holder <> p_holder
        and updated_at >= clock_timestamp() - make_interval(secs => p_lease_seconds)
    order by updated_at desc limit 1;
    if v_running is null then
        insert into public.import_runs (id, what, settings_hash, force, status, holder, updated_at)
        values (p_run_id, p_what, p_settings_hash, p_force, 'running', p_holder, clock_timestamp())
        on conflict (id) do update set status = 'running', holder = p_holder, updated_at = clock_timestamp();
        -- Whoever was at another one is so no more; one with other settings is over, for its rows are replaced.
        update public.import_runs
        set holder = null, status = case when settings_hash = p_settings_hash then status else 'failed' end
        where what = p_what and status = 'running' and id <> p_run_id;
    end if;
    return v_running;
end $$;

-- Adds users that are not in the run yet. Gives all of its users.
create or replace function public.ray_import_run_add(p_run_id text, p_users jsonb)
returns jsonb language plpgsql set search_path = '' as $$
begin
    insert into public.import_run_users (run_id, user_id, source, state, attempts, version, counts)
    select p_run_id, u ->> 'user_id', u ->> 'source', 'pending', 0, '', '{}' from jsonb_array_elements(p_users) u
    on conflict do nothing;
    return public.ray_import_run_users(p_run_id);
end $$;

-- Says how far users are; of those who wait, or are skipped, nothing has changed since that was said before.
-- False, and nothing said, where another process has taken the run over.
create or replace function public.ray_import_run_tell(p_run_id text, p_holder text, p_users jsonb)
returns boolean language plpgsql set search_path = '' as $$
begin
    perform from public.import_runs where id = p_run_id and holder = p_holder for share;
    if not found then
        return false;
    end if;
    update public.import_run_users
    set source = u ->> 'source', state = u ->> 'state', attempts = (u ->> 'attempts')::integer,
        version = u ->> 'version', error = u ->> 'error', counts = u -> 'counts',
        updated_at = case when u ->> 'state' in ('pending', 'skipped') then updated_at else clock_timestamp() end
    from jsonb_array_elements(p_users) u
    where run_id = p_run_id and user_id = u ->> 'user_id';
    return true;
end $$;

-- The run has come to its end, unless another process has taken it over.
create or replace function public.ray_import_run_complete(p_run_id text, p_holder text)
returns void language sql set search_path = '' as $$
    update public.import_runs set status = 'complete', holder = null, updated_at = clock_timestamp()
    where id = p_run_id and holder = p_holder;
$$;

-- The last run over these users, made so, if it has not come to its end; else null.
create or replace function public.ray_import_run_interrupted(p_what text, p_settings_hash text, p_force boolean)
returns text language sql stable set search_path = '' as $$
    select case when status = 'running' then id end from public.import_runs
    where what = p_what and settings_hash = p_settings_hash and force = p_force order by started_at desc limit 1;
$$;

-- [user_id] of whoever last failed, lacked something, or was interrupted.
create or replace function public.ray_import_run_lacking(p_what text, p_settings_hash text)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(user_id), '[]') from (
        select distinct on (u.user_id) u.user_id, u.state
        from public.import_run_users u join public.import_runs r on r.id = u.run_id
        where r.what = p_what and r.settings_hash = p_settings_hash and (u.state <> 'pending' or u.attempts > 0)
        order by u.user_id, u.updated_at desc) latest
    where state not in ('complete', 'skipped');
$$;

-- {user_id: [source, version]}: what was imported as a whole with these settings, unless the user was imported since.
create or replace function public.ray_import_run_versions(p_settings_hash text)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_object_agg(user_id, jsonb_build_array(source, version)), '{}') from (
        select distinct on (u.user_id) u.user_id, u.source, u.version, u.state, u.updated_at, r.settings_hash
        from public.import_run_users u join public.import_runs r on r.id = u.run_id
        where u.state <> 'pending' or u.attempts > 0
        order by u.user_id, u.updated_at desc) latest
    left join (select user_id::text, max(updated_at) as worked_at from public.import_jobs group by user_id) job
        using (user_id)
    where settings_hash = p_settings_hash and state in ('complete', 'skipped')
        and (worked_at is null or updated_at >= worked_at);
$$;

-- A sign of life of all that a process holds.
create or replace function public.ray_import_alive(p_holder text)
returns void language sql set search_path = '' as $$
    update public.import_jobs set updated_at = clock_timestamp() where holder = p_holder and status = 'running';
    update public.import_runs set updated_at = clock_timestamp() where holder = p_holder and status = 'running';
$$;

-- Ends, as interrupted, the imports that a process holds, and lets others go on with its run.
create or replace function public.ray_import_let_go(p_holder text)
returns void language sql set search_path = '' as $$
    update public.import_jobs
    set status = 'failed', error = 'interrupted', updated_at = clock_timestamp(), finished_at = clock_timestamp()
    where holder = p_holder and status = 'running';
    update public.import_runs set holder = null, updated_at = clock_timestamp() where holder = p_holder;
$$;

-- As 0004 does for the functions of then.
do $$
declare
    a_role text;
    a_function regprocedure;
begin
    for a_function in
        select oid::regprocedure from pg_proc where pronamespace = 'public'::regnamespace
        and (proname like 'ray\_import\_run\_%' or proname in ('ray_import_alive', 'ray_import_let_go'))
    loop
        execute format('revoke all on function %s from public', a_function);
        foreach a_role in array array['anon', 'authenticated', 'service_role', 'ray_importer'] loop
            continue when not exists (select from pg_roles where rolname = a_role);
            execute format('revoke all on function %s from %I', a_function, a_role);
            if a_role in ('service_role', 'ray_importer') then
                execute format('grant execute on function %s to %I', a_function, a_role);
            end if;
        end loop;
    end loop;
end $$;

insert into public.ray_import_migrations (version) values (5) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

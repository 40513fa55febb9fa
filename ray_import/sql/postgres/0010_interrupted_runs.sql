-- A run whose process has released it is 'interrupted': the same command resumes it. And triggers that a user adds to the
-- tables work as they do for plain inserts.
begin;

alter table public.import_runs drop constraint if exists import_runs_status_check;
alter table public.import_runs add constraint import_runs_status_check
    check (status in ('running', 'interrupted', 'complete', 'failed'));
update public.import_runs set status = 'interrupted' where status = 'running' and holder is null;

-- Starts or resumes a run, unless another process holds one over the same users: returns that one then.
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
        -- A run with other settings can no longer be resumed: its rows are replaced.
        update public.import_runs
        set holder = null, status = case when settings_hash = p_settings_hash then 'interrupted' else 'failed' end
        where what = p_what and status in ('running', 'interrupted') and id <> p_run_id;
    end if;
    return v_running;
end $$;

-- The id of the last run over these users with these settings if it did not complete; else null.
create or replace function public.ray_import_run_interrupted(p_what text, p_settings_hash text, p_force boolean)
returns text language sql stable set search_path = '' as $$
    select case when status in ('running', 'interrupted') then id end from public.import_runs
    where what = p_what and settings_hash = p_settings_hash and force = p_force order by started_at desc limit 1;
$$;

-- Releases the imports and runs that a process holds, as interrupted.
create or replace function public.ray_import_let_go(p_holder text)
returns void language sql set search_path = '' as $$
    update public.import_jobs
    set status = 'failed', error = 'interrupted', updated_at = clock_timestamp(), finished_at = clock_timestamp()
    where holder = p_holder and status = 'running';
    update public.import_runs set status = 'interrupted', holder = null, updated_at = clock_timestamp()
    where holder = p_holder and status = 'running';
$$;

-- A trigger runs with the search_path of the function whose statement fires it. With an empty one, a trigger function
-- that works for plain inserts does not find its tables. So the functions that write have what a role has by default:
-- but not where anybody may create functions there, which could take the place of Postgres' own. Tables are named with
-- their schema anyway.
do $$
declare
    a_function regprocedure;
begin
    if has_schema_privilege('public', 'public', 'create') or exists (
            select from pg_namespace where nspname = 'extensions' and has_schema_privilege('public', oid, 'create')) then
        return;
    end if;
    for a_function in
        select oid::regprocedure from pg_proc
        where pronamespace = 'public'::regnamespace and proname like 'ray\_import\_%' and provolatile = 'v'
    loop
        execute format('alter function %s set search_path = public, extensions', a_function);
    end loop;
end $$;

insert into public.ray_import_migrations (version) values (10) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

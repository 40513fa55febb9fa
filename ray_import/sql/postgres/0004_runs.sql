-- Runs over many users, and how far each user's import is.
begin;

create table if not exists public.import_runs (
    id            text primary key,
    what          text not null,       -- the manifest, prefix or table that the users came from
    settings_hash text not null,
    status        text not null check (status in ('running', 'complete', 'failed')),
    started_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

create table if not exists public.import_run_users (
    run_id     text not null references public.import_runs on delete cascade,
    user_id    text not null,
    source     text not null,          -- without secrets
    state      text not null check (state in ('pending', 'running', 'complete', 'partial', 'failed', 'skipped')),
    attempts   integer not null,
    version    text not null,          -- of the source's bytes: another one has to be read again
    error      text,
    counts     jsonb not null,
    updated_at timestamptz not null default now(),
    primary key (run_id, user_id)
);

-- Begins a run, or goes on with it: users that are not in it yet are added. Gives all of its users.
create or replace function public.ray_import_run_open(p_run_id text, p_what text, p_settings_hash text, p_users jsonb)
returns jsonb language plpgsql set search_path = '' as $$
begin
    insert into public.import_runs (id, what, settings_hash, status) values (p_run_id, p_what, p_settings_hash, 'running')
    on conflict (id) do update set status = 'running', updated_at = now();
    insert into public.import_run_users (run_id, user_id, source, state, attempts, version, counts)
    select p_run_id, u ->> 'user_id', u ->> 'source', 'pending', 0, '', '{}' from jsonb_array_elements(p_users) u
    on conflict do nothing;
    return public.ray_import_run_users(p_run_id);
end $$;

create or replace function public.ray_import_run_users(p_run_id text)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(u) - 'run_id' - 'updated_at' order by user_id collate "C"), '[]')
    from public.import_run_users u where run_id = p_run_id;
$$;

create or replace function public.ray_import_run_save(p_run_id text, p_user jsonb)
returns void language sql set search_path = '' as $$
    update public.import_run_users
    set state = p_user ->> 'state', attempts = (p_user ->> 'attempts')::integer, version = p_user ->> 'version',
        error = p_user ->> 'error', counts = p_user -> 'counts', updated_at = now()
    where run_id = p_run_id and user_id = p_user ->> 'user_id';
$$;

create or replace function public.ray_import_run_close(p_run_id text, p_status text)
returns void language sql set search_path = '' as $$
    update public.import_runs set status = p_status, updated_at = now() where id = p_run_id;
$$;

-- [id, status] of the last run of these users with these settings, or null.
create or replace function public.ray_import_run_last(p_what text, p_settings_hash text)
returns jsonb language sql stable set search_path = '' as $$
    select jsonb_build_array(id, status) from public.import_runs
    where what = p_what and settings_hash = p_settings_hash order by started_at desc limit 1;
$$;

-- {user_id: [source, version]}: what was last imported as a whole with these settings.
create or replace function public.ray_import_run_versions(p_settings_hash text)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_object_agg(user_id, jsonb_build_array(source, version)), '{}') from (
        select distinct on (u.user_id) u.user_id, u.source, u.version
        from public.import_run_users u join public.import_runs r on r.id = u.run_id
        where r.settings_hash = p_settings_hash and u.state in ('complete', 'skipped')
        order by u.user_id, u.updated_at desc) latest;
$$;

-- [[user_id, source]] of a table of the service (--from-table), where there are both.
create or replace function public.ray_import_users_of(p_table text, p_column text)
returns jsonb language plpgsql stable set search_path = '' as $$
declare
    v_users jsonb;
begin
    execute format('select coalesce(jsonb_agg(jsonb_build_array(user_id::text, %1$I::text)'
        ' order by user_id::text collate "C"), ''[]'')'
        ' from public.%2$I where user_id is not null and %1$I::text <> ''''', p_column, p_table) into v_users;
    return v_users;
end $$;

alter table public.import_runs enable row level security;
alter table public.import_run_users enable row level security;

-- Nobody but the importer looks at runs: they are of all users.
do $$
declare
    a_table text;
    a_role text;
    a_function regprocedure;
begin
    foreach a_role in array array['anon', 'authenticated', 'service_role', 'ray_importer'] loop
        continue when not exists (select from pg_roles where rolname = a_role);
        foreach a_table in array array['import_runs', 'import_run_users'] loop
            execute format('revoke all on public.%I from %I', a_table, a_role);
            if a_role in ('service_role', 'ray_importer') then
                execute format('grant select, insert, update, delete on public.%I to %I', a_table, a_role);
            end if;
            if a_role = 'ray_importer' then
                execute format('drop policy if exists ray_importer_writes on public.%I', a_table);
                execute format('create policy ray_importer_writes on public.%I to ray_importer using (true)'
                    ' with check (true)', a_table);
            end if;
        end loop;
    end loop;
    for a_function in
        select oid::regprocedure from pg_proc
        where pronamespace = 'public'::regnamespace and (proname like 'ray\_import\_run\_%' or proname = 'ray_import_users_of')
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

insert into public.ray_import_migrations (version) values (4) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

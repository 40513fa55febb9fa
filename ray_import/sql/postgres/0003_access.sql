-- Who may do what: the importer writes, a user reads their own rows, nobody else does anything.
begin;

-- The least that an import needs. To import as this role: alter role ray_importer login password '...';
do $$
begin
    if not exists (select from pg_roles where rolname = 'ray_importer') then
        create role ray_importer nologin;
    end if;
exception when insufficient_privilege or duplicate_object or unique_violation then
    raise notice 'The role ray_importer was not made: imports connect as another one.';
end $$;

alter table public.conversation_chunks enable row level security;
alter table public.imported_conversations enable row level security;
alter table public.import_jobs enable row level security;
alter table public.import_rejects enable row level security;
alter table public.ray_import_migrations enable row level security;

do $$
declare
    a_table text;
    a_role text;
    a_function regprocedure;
    user_type text;
begin
    foreach a_table in array array['conversation_chunks', 'imported_conversations', 'import_jobs', 'import_rejects']
    loop
        foreach a_role in array array['anon', 'authenticated'] loop
            if exists (select from pg_roles where rolname = a_role) then
                execute format('revoke all on public.%I from %I', a_table, a_role);
            end if;
        end loop;
        if exists (select from pg_roles where rolname = 'service_role') then
            execute format('grant select, insert, update, delete on public.%I to service_role', a_table);
        end if;
        if exists (select from pg_roles where rolname = 'ray_importer') then
            execute format('grant select, insert, update, delete on public.%I to ray_importer', a_table);
            execute format('drop policy if exists ray_importer_writes on public.%I', a_table);
            execute format('create policy ray_importer_writes on public.%I to ray_importer using (true) with check (true)',
                a_table);
        end if;
        -- Where Supabase's auth is, a user reads what is theirs. (select ...) is asked once, not for every row.
        if to_regprocedure('auth.uid()') is not null then
            select format_type(atttypid, atttypmod) into user_type from pg_attribute
            where attrelid = format('public.%I', a_table)::regclass and attname = 'user_id';
            execute format('grant select on public.%I to authenticated', a_table);
            execute format('drop policy if exists ray_import_own_rows on public.%I', a_table);
            execute format('create policy ray_import_own_rows on public.%I for select to authenticated'
                ' using (user_id = (select auth.uid())::%s)', a_table, user_type);
        end if;
    end loop;

    for a_function in
        select oid::regprocedure from pg_proc
        where pronamespace = 'public'::regnamespace and proname like 'ray\_import\_%'
    loop
        execute format('revoke all on function %s from public', a_function);
        foreach a_role in array array['anon', 'authenticated'] loop
            if exists (select from pg_roles where rolname = a_role) then
                execute format('revoke all on function %s from %I', a_function, a_role);
            end if;
        end loop;
        foreach a_role in array array['service_role', 'ray_importer'] loop
            if exists (select from pg_roles where rolname = a_role) then
                execute format('grant execute on function %s to %I', a_function, a_role);
            end if;
        end loop;
    end loop;

    foreach a_role in array array['service_role', 'ray_importer'] loop
        if exists (select from pg_roles where rolname = a_role) then
            execute format('grant usage on schema public to %I', a_role);
            execute format('grant select on public.ray_import_migrations to %I', a_role);
        end if;
    end loop;
    if exists (select from pg_roles where rolname = 'ray_importer') then
        drop policy if exists ray_importer_reads on public.ray_import_migrations;
        create policy ray_importer_reads on public.ray_import_migrations for select to ray_importer using (true);
    end if;
end $$;

insert into public.ray_import_migrations (version) values (3) on conflict do nothing;
commit;

-- PostgREST, Supabase's REST interface, learns of the functions.
notify pgrst, 'reload schema';

-- What the row of a --profile-table takes, asked before an import.
begin;

-- For each of these values (objects of column and value, as ray_import_set_profile takes them) whether the row of the user
-- takes them: a CHECK, a domain, an enum, a type or a trigger may refuse some. Each is written and rolled back at once.
create or replace function public.ray_import_profile_takes(p_table text, p_user_id text, p_endings jsonb)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_values jsonb;
    v_takes boolean[] := '{}';
begin
    for v_values in select e.value from jsonb_array_elements(p_endings) with ordinality e order by e.ordinality loop
        begin
            perform public.ray_import_set_profile(p_table, p_user_id, v_values);
            set constraints all immediate;
            raise exception using errcode = 'RI002';  -- rolls back
        exception
            when sqlstate 'RI002' then
                v_takes := v_takes || true;
            when others then
                -- Outages, limits, rights and missing columns say nothing of the values.
                if left(sqlstate, 2) in ('08', '25', '40', '42', '53', '54', '55', '57', '58', 'F0', 'HV', 'XX') then
                    raise;
                end if;
                v_takes := v_takes || false;
        end;
    end loop;
    return to_jsonb(v_takes);
end $$;

-- Only the importing roles may call what is new.
revoke all on function public.ray_import_profile_takes(text, text, jsonb) from public;
do $$
declare
    a_role text;
begin
    for a_role in
        select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role', 'ray_importer')
    loop
        execute format('revoke all on function public.ray_import_profile_takes(text, text, jsonb) from %I', a_role);
        if a_role in ('service_role', 'ray_importer') then
            execute format('grant execute on function public.ray_import_profile_takes(text, text, jsonb) to %I', a_role);
        end if;
    end loop;
end $$;

insert into public.ray_import_migrations (version) values (9) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

-- Columns that a user adds to the tables do not disturb imports.
begin;

-- The newest imports, newest first, of one user or of all; one that says that it runs, but is silent, is returned as
-- interrupted. Only the columns that ray-import knows.
create or replace function public.ray_import_jobs(p_lease_seconds integer, p_user_id text, p_limit integer)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', id, 'user_id', user_id, 'source', source, 'status', status,
            'counts', counts, 'error', error, 'started_at', started_at, 'updated_at', updated_at,
            'finished_at', finished_at) || case
            when status = 'running' and updated_at < clock_timestamp() - make_interval(secs => p_lease_seconds)
            then '{"status": "failed", "error": "interrupted"}'::jsonb else '{}' end
        order by started_at desc, number desc), '[]')
    from (select * from public.import_jobs where p_user_id is null or user_id = p_user_id
        order by started_at desc, number desc limit p_limit) j;
$$;

-- All users of a run. Only the columns that ray-import knows.
create or replace function public.ray_import_run_users(p_run_id text)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('user_id', user_id, 'source', source, 'state', state,
        'attempts', attempts, 'version', version, 'error', error, 'counts', counts) order by user_id collate "C"), '[]')
    from public.import_run_users where run_id = p_run_id;
$$;

insert into public.ray_import_migrations (version) values (8) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

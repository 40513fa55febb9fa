-- The service's queue: jobs that were accepted over HTTP, and the workers that execute them.
begin;

create table if not exists public.service_jobs (
    id               text primary key,
    user_id          text not null,
    state            text not null check (state in ('queued', 'running', 'complete', 'partial', 'failed', 'cancelled')),
    stage            text not null check (stage in ('import', 'profile')),
    source           text not null,       -- may be a signed URL: '' once the job has ended
    source_label     text not null,       -- without secrets
    file_type        text not null,
    idempotency_key  text not null,       -- '' where the request had none
    request_hash     text not null,
    attempts         integer not null default 0,
    cancel_requested boolean not null default false,
    counts           jsonb not null default '{}',
    error            text,
    error_type       text,
    holder           text,                -- host and process, of the last attempt
    last_call        text,                -- of the call that claimed, handed back or released it: it may come again
    due_at           timestamptz not null, -- a queued job is not claimed before
    created_at       timestamptz not null,
    started_at       timestamptz,         -- of the last attempt
    updated_at       timestamptz not null, -- a running job's last heartbeat
    finished_at      timestamptz
);
-- One active job a user at a time.
create unique index if not exists service_jobs_active on public.service_jobs (user_id) where state in ('queued', 'running');
create unique index if not exists service_jobs_by_key on public.service_jobs (user_id, idempotency_key)
    where idempotency_key <> '';
-- What claims look through: ended jobs are not in it.
create index if not exists service_jobs_queue on public.service_jobs (created_at) where state in ('queued', 'running');
create index if not exists service_jobs_by_call on public.service_jobs (last_call) where state in ('queued', 'running');
create index if not exists service_jobs_by_user on public.service_jobs (user_id, created_at);
create index if not exists service_jobs_by_state on public.service_jobs (state, created_at);
create index if not exists service_jobs_ended on public.service_jobs (finished_at, state) where finished_at is not null;

create table if not exists public.service_workers (
    holder  text primary key,             -- host and process
    seen_at timestamptz not null          -- its last sign of life
);

-- All functions below may be called again by whoever has lost an answer: p_call is the same then. Sequential and bitmap
-- scans are off where an index and its order are to be used whatever the planner knows of the table (see 0002).

-- Adds a job, unless the user has one, an import, or had too many within an hour. p_job is a NewJob. A job of the same id
-- is the same call. Deletes some of the jobs that ended long ago.
create or replace function public.ray_import_service_accept(p_job jsonb, p_jobs_per_hour integer, p_window_seconds integer,
    p_lease_seconds integer, p_retention_days integer, p_most_deleted integer)
returns jsonb language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_id constant text := p_job ->> 'id';
    v_user constant text := p_job ->> 'user_id';
    v_key constant text := p_job ->> 'idempotency_key';
    v_now timestamptz;
    v_found text;
    v_hash text;
    v_since timestamptz;
begin
    -- One request of a user at a time: each sees the job that the one before it has added.
    perform pg_advisory_xact_lock(hashtextextended('ray_import_service_accept ' || v_user, 0));
    v_now := clock_timestamp();
    select user_id into v_found from public.service_jobs where id = v_id;
    if v_found = v_user then
        return jsonb_build_object('job_id', v_id, 'is_new', true);
    elsif v_found is not null then
        raise unique_violation;
    end if;
    select id, request_hash into v_found, v_hash from public.service_jobs
    where user_id = v_user and idempotency_key = v_key and idempotency_key <> '';
    if found and v_hash = p_job ->> 'request_hash' then
        return jsonb_build_object('job_id', v_found, 'is_new', false);
    elsif found then
        return jsonb_build_object('reason', 'key_reused', 'job_id', v_found);
    end if;
    select id, created_at into v_found, v_since from public.service_jobs
    where user_id = v_user and state in ('queued', 'running');
    if not found then
        select id, started_at into v_found, v_since from public.import_jobs
        where user_id = v_user and status = 'running'
            and updated_at >= v_now - make_interval(secs => p_lease_seconds);
    end if;
    if found then
        return jsonb_build_object('reason', 'active', 'job_id', v_found,
            'age_seconds', greatest(0, extract(epoch from v_now - v_since)));
    end if;
    -- The oldest of the last p_jobs_per_hour jobs has to leave the window first.
    v_since := v_now;
    if p_jobs_per_hour > 0 then
        select created_at into v_since from public.service_jobs
        where user_id = v_user and created_at > v_now - make_interval(secs => p_window_seconds)
        order by created_at desc offset p_jobs_per_hour - 1 limit 1;
    end if;
    if v_since is not null then
        return jsonb_build_object('reason', 'rate_limited',
            'retry_after_seconds', greatest(0, p_window_seconds - extract(epoch from v_now - v_since)));
    end if;
    insert into public.service_jobs (id, user_id, state, stage, source, source_label, file_type, idempotency_key,
        request_hash, due_at, created_at, updated_at)
    values (v_id, v_user, 'queued', p_job ->> 'stage', p_job ->> 'source', p_job ->> 'source_label',
        p_job ->> 'file_type', v_key, p_job ->> 'request_hash', v_now, v_now, v_now);
    begin
        delete from public.service_jobs where id in (
            select id from public.service_jobs where finished_at < v_now - make_interval(days => p_retention_days)
            order by finished_at limit p_most_deleted for update skip locked);
    exception when integrity_constraint_violation then
        null;  -- a foreign key of the user's keeps them
    end;
    return jsonb_build_object('job_id', v_id, 'is_new', true);
end $$;

-- Takes the oldest job that is due, or the one with this id, and returns it. For no key update: rows of others that refer
-- to a job do not hide it.
create or replace function public.ray_import_service_claim(
    p_holder text, p_job_id text, p_call text, p_lease_seconds integer)
returns jsonb language plpgsql set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_now constant timestamptz := clock_timestamp();
    v_silent_since constant timestamptz := v_now - make_interval(secs => p_lease_seconds);
    v_id text;
    v_job jsonb;
begin
    select to_jsonb(j) into v_job from public.service_jobs j
    where last_call = p_call and state in ('queued', 'running') and state = 'running' and holder = p_holder;
    if found then
        return v_job;
    end if;
    select id into v_id from public.service_jobs
    where state in ('queued', 'running') and (p_job_id is null or id = p_job_id)
        and (state = 'queued' and due_at <= v_now or state = 'running' and updated_at < v_silent_since)
    order by created_at limit 1 for no key update skip locked;
    if not found then
        return null;
    end if;
    update public.service_jobs j
    set state = 'running', holder = p_holder, last_call = p_call, attempts = attempts + 1, started_at = v_now, updated_at = v_now
    where id = v_id returning to_jsonb(j) into v_job;
    return v_job;
end $$;

create or replace function public.ray_import_service_hand_over(p_job_id text, p_holder text, p_new_holder text)
returns boolean language plpgsql set search_path = '' as $$
begin
    update public.service_jobs set holder = p_new_holder, updated_at = clock_timestamp()
    where id = p_job_id and holder in (p_holder, p_new_holder) and state = 'running';
    return found;
end $$;

-- Returns 'held', 'cancelled' or 'lost'. A worker that is new deletes those that have been silent for long.
create or replace function public.ray_import_service_alive(p_holder text, p_job_id text, p_forgotten_seconds integer)
returns text language plpgsql set search_path = '' as $$
declare
    v_is_cancelled boolean;
begin
    update public.service_workers set seen_at = clock_timestamp() where holder = p_holder;
    if not found then
        delete from public.service_workers where holder in (
            select holder from public.service_workers
            where seen_at < clock_timestamp() - make_interval(secs => p_forgotten_seconds) for update skip locked);
        insert into public.service_workers (holder, seen_at) values (p_holder, clock_timestamp())
        on conflict (holder) do update set seen_at = excluded.seen_at;
    end if;
    if p_job_id is null then
        return 'held';
    end if;
    update public.service_jobs set updated_at = clock_timestamp()
    where id = p_job_id and holder = p_holder and state = 'running' returning cancel_requested into v_is_cancelled;
    return case when not found then 'lost' when v_is_cancelled then 'cancelled' else 'held' end;
end $$;

create or replace function public.ray_import_service_reach(p_job_id text, p_holder text, p_stage text, p_counts jsonb)
returns boolean language plpgsql set search_path = '' as $$
begin
    update public.service_jobs set stage = p_stage, counts = p_counts, updated_at = clock_timestamp()
    where id = p_job_id and holder = p_holder and state = 'running';
    return found;
end $$;

-- True as well where this process has ended the job in this way before.
create or replace function public.ray_import_service_finish(
    p_job_id text, p_holder text, p_end text, p_counts jsonb, p_error text, p_error_type text)
returns boolean language plpgsql set search_path = '' as $$
declare
    v_now constant timestamptz := clock_timestamp();
begin
    update public.service_jobs
    set state = p_end, source = '', counts = p_counts, error = p_error, error_type = p_error_type, updated_at = v_now,
        finished_at = v_now
    where id = p_job_id and holder = p_holder and state = 'running';
    return found or exists (
        select from public.service_jobs where id = p_job_id and holder = p_holder and state = p_end);
end $$;

-- Queues a running job again: at once if it is to be cancelled. True as well where this call has done so before.
create or replace function public.ray_import_service_hand_back(p_job_id text, p_holder text, p_call text,
    p_delay_seconds double precision, p_counts_attempt boolean, p_error text, p_error_type text)
returns boolean language plpgsql set search_path = '' as $$
declare
    v_now constant timestamptz := clock_timestamp();
begin
    update public.service_jobs
    set state = 'queued', due_at = v_now + make_interval(secs => case when cancel_requested then 0 else p_delay_seconds end),
        attempts = attempts - (not p_counts_attempt)::integer,
        error = p_error, error_type = p_error_type, holder = null, last_call = p_call, updated_at = v_now
    where id = p_job_id and holder = p_holder and state = 'running';
    return found or exists (select from public.service_jobs where id = p_job_id and last_call = p_call);
end $$;

-- Queues all jobs of a dead process, and deletes the worker. Returns how many jobs there were.
create or replace function public.ray_import_service_release(p_holder text)
returns integer language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_now constant timestamptz := clock_timestamp();
    v_count integer;
begin
    delete from public.service_workers where holder = p_holder;
    update public.service_jobs set state = 'queued', due_at = v_now, holder = null, updated_at = v_now
    where state in ('queued', 'running') and state = 'running' and holder = p_holder;
    get diagnostics v_count = row_count;
    return v_count;
end $$;

-- [{job_id, holder, silent_seconds}] of the running jobs.
create or replace function public.ray_import_service_held()
returns jsonb language sql stable set search_path = '' set enable_seqscan = off as $$
    select coalesce(jsonb_agg(jsonb_build_object('job_id', id, 'holder', holder,
        'silent_seconds', greatest(0, extract(epoch from clock_timestamp() - updated_at))) order by created_at), '[]')
    from public.service_jobs where state in ('queued', 'running') and state = 'running';
$$;

-- Cancels a job that no worker has begun. Another active one is due at once, for a worker that ends it: what the front end
-- shows of it is the worker's to set. Returns the job.
create or replace function public.ray_import_service_cancel(p_job_id text, p_user_id text)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_now constant timestamptz := clock_timestamp();
    v_job jsonb;
begin
    update public.service_jobs
    set state = 'cancelled', cancel_requested = true, source = '', holder = null, updated_at = v_now, finished_at = v_now
    where id = p_job_id and user_id = p_user_id and state = 'queued' and started_at is null;
    update public.service_jobs set cancel_requested = true, due_at = v_now
    where id = p_job_id and user_id = p_user_id and state in ('queued', 'running');
    select to_jsonb(j) into v_job from public.service_jobs j where id = p_job_id and user_id = p_user_id;
    return v_job;
end $$;

create or replace function public.ray_import_service_job(p_job_id text, p_user_id text)
returns jsonb language sql stable set search_path = '' as $$
    select to_jsonb(j) from public.service_jobs j where id = p_job_id and (p_user_id is null or user_id = p_user_id);
$$;

-- The newest jobs in these states, of one user or of all: then the newest of each state are merged.
create or replace function public.ray_import_service_list(p_user_id text, p_states jsonb, p_limit integer)
returns jsonb language plpgsql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    v_jobs jsonb;
begin
    if p_user_id is not null then
        select coalesce(jsonb_agg(to_jsonb(j) order by created_at desc, id desc), '[]') into v_jobs
        from (select * from public.service_jobs where user_id = p_user_id and p_states ? state
            order by created_at desc, id desc limit p_limit) j;
    else
        select coalesce(jsonb_agg(to_jsonb(j) order by created_at desc, id desc), '[]') into v_jobs
        from (select j.* from jsonb_array_elements_text(p_states) s (name), lateral (
                select * from public.service_jobs where state = s.name order by created_at desc, id desc limit p_limit) j
            order by j.created_at desc, j.id desc limit p_limit) j;
    end if;
    return v_jobs;
end $$;

-- See QueueStats.
create or replace function public.ray_import_service_stats(p_seen_seconds integer, p_ended_seconds integer)
returns jsonb language sql stable set search_path = '' set enable_seqscan = off as $$
    select jsonb_build_object('queued', count(*) filter (where state = 'queued'),
        'running', count(*) filter (where state = 'running'),
        'oldest_queued_seconds', greatest(0, coalesce(
            extract(epoch from clock_timestamp() - min(created_at) filter (where state = 'queued')), 0)),
        'workers', (select count(*) from public.service_workers
            where seen_at >= clock_timestamp() - make_interval(secs => p_seen_seconds)),
        'ended', (select coalesce(jsonb_object_agg(e.state, e.jobs), '{}') from (
            select state, count(*) as jobs from public.service_jobs
            where finished_at >= clock_timestamp() - make_interval(secs => p_ended_seconds) group by state) e))
    from public.service_jobs where state in ('queued', 'running');
$$;

create or replace function public.ray_import_service_leave(p_holder text)
returns void language sql set search_path = '' as $$
    delete from public.service_workers where holder = p_holder;
$$;

-- Users do not see the queue: it holds sources that may be secret.
do $$
declare
    a_table text;
    a_role text;
begin
    foreach a_table in array array['service_jobs', 'service_workers'] loop
        execute format('alter table public.%I enable row level security', a_table);
        for a_role in
            select 'public' union all
            select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role', 'ray_importer')
        loop
            execute format('revoke all on public.%I from %s', a_table, a_role);
            if a_role in ('service_role', 'ray_importer') then
                execute format('grant select, insert, update, delete on public.%I to %s', a_table, a_role);
            end if;
        end loop;
        if exists (select from pg_roles where rolname = 'ray_importer') then
            execute format('drop policy if exists ray_importer_writes on public.%I', a_table);
            execute format('create policy ray_importer_writes on public.%I to ray_importer using (true) with check (true)',
                a_table);
        end if;
    end loop;
end $$;

-- Only the importing roles may call functions. Those that write find what a trigger of the user's names without a schema,
-- as 0010 explains.
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
        where pronamespace = 'public'::regnamespace and proname like 'ray\_import\_service\_%'
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

insert into public.ray_import_migrations (version) values (14) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

-- What a profile is made of: runs, requests to a model, units of conversations, facts, and versions of the profile.
begin;

create table if not exists public.profile_runs (
    user_id     text not null,
    id          text not null,
    status      text not null check (status in ('running', 'complete', 'partial', 'failed')),
    report      jsonb not null default '{}',
    error       text,
    holder      text not null,          -- host and process
    started_at  timestamptz not null,
    updated_at  timestamptz not null,   -- the running one's last heartbeat
    finished_at timestamptz,
    primary key (user_id, id)
);
-- One run a user at a time.
create unique index if not exists profile_runs_running on public.profile_runs (user_id) where status = 'running';

create table if not exists public.profile_requests (
    user_id       text not null,
    id            text not null,        -- the custom id
    run_id        text not null,
    kind          text not null,        -- 'quick', 'facts', 'merge' or 'sections'
    model         text not null,
    state         text not null check (state in ('sending', 'in_batch', 'answered', 'failed', 'unknown_outcome')),
    unit_ids      jsonb not null,
    mark          text not null,        -- the fence of its prompt
    group_id      text not null,        -- of all requests of one batch, or ''
    batch_id      text not null,
    attempts      integer not null,
    stop_reason   text not null,
    reason        text not null,        -- why it failed
    input_tokens  bigint not null,
    output_tokens bigint not null,
    usd           double precision not null,
    rejected      jsonb not null,       -- how many statements of its answer were rejected, by reason
    result        jsonb,                -- the checked answer, where it is not facts
    settlement    text,                 -- of the call that settled it: the same call is not refused when it comes again
    created_at    timestamptz not null,
    primary key (user_id, id)
);

create table if not exists public.profile_units (
    user_id         text not null,
    id              text not null,      -- hash of its lines, the prompt's version and the model
    product         text not null,
    conversation_id text not null,
    content_hash    text not null,      -- of the conversation when the unit was cut
    state           text not null check (state in ('answered', 'split', 'failed')),
    reason          text not null,
    attempts        integer not null,
    request_id      text not null,
    primary key (user_id, id)
);

create table if not exists public.profile_facts (
    user_id         text not null,
    id              text not null,      -- UUIDv5 of user, product, conversation, node, category, subject, statement
    category        text not null,
    subject         text not null,
    statement       text not null,
    quote           text not null,      -- stands in the text of the message
    product         text not null,
    conversation_id text not null,
    node_id         text not null,      -- the message, see conversation_messages
    said_at         timestamptz,
    valid_from      timestamptz,
    valid_to        timestamptz,
    status          text not null check (status in ('active', 'duplicate', 'superseded')),
    superseded_by   text,               -- the fact that says the same, or that says otherwise later
    seen            integer not null,   -- the fact and its duplicates
    primary key (user_id, id)
);

-- Which units a fact came of: the pieces of a long message may give the same one.
create table if not exists public.profile_fact_units (
    user_id text not null,
    fact_id text not null,
    unit_id text not null,
    primary key (user_id, fact_id, unit_id)
);
create index if not exists profile_fact_units_by_unit on public.profile_fact_units (user_id, unit_id);

create table if not exists public.profile_versions (
    user_id        text not null,
    id             text not null,
    run_id         text not null,
    kind           text not null check (kind in ('quick', 'full')),
    model          text not null,
    prompt_version text not null,
    sections       jsonb not null,
    memory_md      text not null,
    facts_hash     text not null,
    created_at     timestamptz not null,
    primary key (user_id, id)
);

-- The functions below page by key: p_after is the last id of the page before, '' at first. Where an index is to be used
-- whatever the planner knows of a table that has just grown, sequential scans are off (see 0002); where its order is, too,
-- bitmap scans are.

-- [user_id] of those with imported conversations.
create or replace function public.ray_import_profile_users(p_after text, p_limit integer)
returns jsonb language sql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
    select coalesce(jsonb_agg(user_id order by user_id), '[]') from (
        select distinct user_id from public.imported_conversations where user_id > p_after order by user_id limit p_limit) u;
$$;

-- The imported conversations of a user, by id and product.
create or replace function public.ray_import_profile_conversations(
    p_user_id text, p_after text, p_after_product text, p_limit integer)
returns jsonb language sql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
    select coalesce(jsonb_agg(jsonb_build_object('product', product, 'conversation_id', conversation_id,
        'content_hash', content_hash, 'title', title, 'create_time', create_time, 'update_time', update_time,
        'message_count', message_count, 'has_messages', has_messages) order by conversation_id, product), '[]')
    from (
        select * from public.imported_conversations
        where user_id = p_user_id and (conversation_id, product) > (p_after, p_after_product)
        order by conversation_id, product limit p_limit) c;
$$;

-- The messages of these conversations ([[product, conversation_id]]), of each an array by position, as long as all of them
-- are within p_most_bytes of text: none where the first one alone exceeds them.
create or replace function public.ray_import_profile_messages(
    p_user_id text, p_conversations jsonb, p_most_bytes bigint)
returns jsonb language plpgsql stable set search_path = '' set enable_seqscan = off as $$
declare
    v_author public.conversation_messages.user_id%type := p_user_id;
    v_left bigint := p_most_bytes;
    v_bytes bigint;
    v_messages jsonb;
    v_all jsonb[] := '{}';
    v_product text;
    v_conversation text;
begin
    for v_product, v_conversation in
        select e.value ->> 0, e.value ->> 1 from jsonb_array_elements(p_conversations) with ordinality e order by e.ordinality
    loop
        select coalesce(sum(octet_length(text) + octet_length(quoted) + 300), 0) into v_bytes
        from public.conversation_messages
        where user_id = v_author and product = v_product and conversation_id = v_conversation;
        exit when v_bytes > v_left;
        v_left := v_left - v_bytes;
        select coalesce(jsonb_agg(jsonb_build_object(
            'user_id', user_id, 'product', product, 'conversation_id', conversation_id, 'node_id', node_id,
            'parent_id', parent_id, 'thread', thread, 'on_active_path', on_active_path, 'position', position,
            'role', role, 'created_at', created_at, 'model', model, 'text', text, 'quoted', quoted,
            'attachments', attachments, 'import_id', import_id) order by position), '[]')
        into v_messages
        from public.conversation_messages
        where user_id = v_author and product = v_product and conversation_id = v_conversation;
        v_all := v_all || v_messages;
    end loop;
    return to_jsonb(v_all);
end $$;

-- Begins a run, unless another one of the same user runs: returns that one then.
create or replace function public.ray_import_profile_start(
    p_user_id text, p_run_id text, p_holder text, p_started_at timestamptz, p_lease_seconds integer)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_running jsonb;
begin
    update public.profile_runs set status = 'failed', error = 'interrupted', finished_at = updated_at
    where user_id = p_user_id and status = 'running'
        and updated_at < clock_timestamp() - make_interval(secs => p_lease_seconds);
    loop
        insert into public.profile_runs (user_id, id, status, holder, started_at, updated_at)
        values (p_user_id, p_run_id, 'running', p_holder, p_started_at, clock_timestamp())
        on conflict do nothing;
        exit when found;
        select jsonb_build_object('id', id, 'holder', holder, 'started_at', started_at,
            'silent_seconds', extract(epoch from clock_timestamp() - updated_at))
        into v_running
        from public.profile_runs
        where user_id = p_user_id and status = 'running' and (id, holder) <> (p_run_id, p_holder);
        -- Where neither is there, the other one has ended in between.
        exit when v_running is not null
            or exists (select from public.profile_runs where user_id = p_user_id and id = p_run_id);
    end loop;
    return v_running;
end $$;

create or replace function public.ray_import_profile_alive(p_user_id text, p_run_id text, p_holder text)
returns boolean language plpgsql set search_path = '' as $$
begin
    update public.profile_runs set updated_at = clock_timestamp()
    where user_id = p_user_id and id = p_run_id and holder = p_holder and status = 'running';
    return found;
end $$;

create or replace function public.ray_import_profile_end(
    p_user_id text, p_run_id text, p_status text, p_report jsonb, p_error text)
returns void language sql set search_path = '' as $$
    update public.profile_runs
    set status = p_status, report = p_report, error = p_error, updated_at = clock_timestamp(), finished_at = clock_timestamp()
    where user_id = p_user_id and id = p_run_id and status = 'running';
$$;

create or replace function public.ray_import_profile_release(p_holder text)
returns void language sql set search_path = '' as $$
    update public.profile_runs
    set status = 'failed', error = 'interrupted', updated_at = clock_timestamp(), finished_at = clock_timestamp()
    where holder = p_holder and status = 'running';
$$;

-- A running one without a heartbeat is returned as interrupted.
create or replace function public.ray_import_profile_runs(p_user_id text, p_lease_seconds integer)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', id, 'status', status, 'report', report, 'error', error,
            'started_at', started_at, 'updated_at', updated_at, 'finished_at', finished_at) || case
            when status = 'running' and updated_at < clock_timestamp() - make_interval(secs => p_lease_seconds)
            then '{"status": "failed", "error": "interrupted"}'::jsonb else '{}' end
        order by started_at desc, id collate "C" desc), '[]')
    from public.profile_runs where user_id = p_user_id;
$$;

-- Inserts or replaces requests that are not final. `created_at` stays that of the first.
create or replace function public.ray_import_profile_put_requests(p_user_id text, p_requests jsonb, p_settlement text)
returns void language plpgsql set search_path = '' set enable_seqscan = off as $$
begin
    insert into public.profile_requests as old (user_id, id, run_id, kind, model, state, unit_ids, mark, group_id, batch_id,
        attempts, stop_reason, reason, input_tokens, output_tokens, usd, rejected, result, settlement, created_at)
    select p_user_id, r.id, r.run_id, r.kind, r.model, r.state, r.unit_ids, r.mark, r.group_id, r.batch_id, r.attempts,
        r.stop_reason, r.reason, r.input_tokens, r.output_tokens, r.usd, r.rejected, r.result, p_settlement,
        coalesce(nullif(r.created_at, '')::timestamptz, clock_timestamp())
    from jsonb_to_recordset(p_requests) r (id text, run_id text, kind text, model text, state text, unit_ids jsonb, mark text,
        group_id text, batch_id text, attempts integer, stop_reason text, reason text, input_tokens bigint,
        output_tokens bigint, usd double precision, rejected jsonb, result jsonb, created_at text)
    on conflict (user_id, id) do update set run_id = excluded.run_id, kind = excluded.kind, model = excluded.model,
        state = excluded.state, unit_ids = excluded.unit_ids, mark = excluded.mark, group_id = excluded.group_id,
        batch_id = excluded.batch_id, attempts = excluded.attempts, stop_reason = excluded.stop_reason,
        reason = excluded.reason, input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,
        usd = excluded.usd, rejected = excluded.rejected, result = excluded.result, settlement = excluded.settlement
    where old.state not in ('answered', 'failed');
end $$;

-- False, and nothing is written, where a new request is of a run that does not run (any more).
create or replace function public.ray_import_profile_save_requests(p_user_id text, p_requests jsonb)
returns boolean language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_running text;
begin
    select id into v_running from public.profile_runs where user_id = p_user_id and status = 'running' for share;
    if exists (
        select from jsonb_to_recordset(p_requests) r (id text, run_id text)
        where r.run_id is distinct from v_running and not exists (
            select from public.profile_requests q where q.user_id = p_user_id and q.id = r.id))
    then
        return false;
    end if;
    perform public.ray_import_profile_put_requests(p_user_id, p_requests, null);
    return true;
end $$;

create or replace function public.ray_import_profile_requests(p_user_id text, p_states jsonb, p_after text, p_limit integer)
returns jsonb language sql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', id, 'run_id', run_id, 'kind', kind, 'model', model, 'state', state,
        'unit_ids', unit_ids, 'mark', mark, 'group_id', group_id, 'batch_id', batch_id, 'attempts', attempts,
        'stop_reason', stop_reason, 'reason', reason, 'input_tokens', input_tokens, 'output_tokens', output_tokens,
        'usd', usd, 'rejected', rejected, 'result', result, 'created_at', created_at) order by id), '[]')
    from (
        select * from public.profile_requests
        where user_id = p_user_id and id > p_after and (p_states = '[]' or p_states ? state)
        order by id limit p_limit) r;
$$;

-- Saves a final request with its units and facts. False, and nothing is written, where it is final already or is not there.
-- Of a fact that is there the words with the least bytes stay, so that they do not depend on which unit was first.
create or replace function public.ray_import_profile_settle(
    p_user_id text, p_settlement text, p_request jsonb, p_units jsonb, p_facts jsonb)
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
    return true;
end $$;

create or replace function public.ray_import_profile_units(p_user_id text, p_after text, p_limit integer)
returns jsonb language sql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', id, 'product', product, 'conversation_id', conversation_id,
        'content_hash', content_hash, 'state', state, 'reason', reason, 'attempts', attempts, 'request_id', request_id)
        order by id), '[]')
    from (select * from public.profile_units where user_id = p_user_id and id > p_after order by id limit p_limit) u;
$$;

-- Deletes units, and the facts that came of no other one. Row by row: of many keys at once a plan that knows nothing of the
-- table would read all that the user has.
create or replace function public.ray_import_profile_drop_units(p_user_id text, p_ids jsonb)
returns void language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_unit text;
    v_fact text;
begin
    for v_unit in select jsonb_array_elements_text(p_ids) loop
        for v_fact in
            delete from public.profile_fact_units where user_id = p_user_id and unit_id = v_unit returning fact_id
        loop
            delete from public.profile_facts f
            where f.user_id = p_user_id and f.id = v_fact and not exists (
                select from public.profile_fact_units u where u.user_id = p_user_id and u.fact_id = v_fact);
        end loop;
        delete from public.profile_units where user_id = p_user_id and id = v_unit;
    end loop;
end $$;

create or replace function public.ray_import_profile_keep_units(p_user_id text, p_ids jsonb, p_content_hash text)
returns void language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    v_unit text;
begin
    for v_unit in select jsonb_array_elements_text(p_ids) loop
        update public.profile_units set content_hash = p_content_hash where user_id = p_user_id and id = v_unit;
    end loop;
end $$;

create or replace function public.ray_import_profile_facts(p_user_id text, p_after text, p_limit integer)
returns jsonb language sql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', id, 'unit_id', (
            select min(u.unit_id collate "C") from public.profile_fact_units u
            where u.user_id = p_user_id and u.fact_id = f.id),
        'category', category, 'subject', subject, 'statement', statement, 'quote', quote, 'product', product,
        'conversation_id', conversation_id, 'node_id', node_id, 'said_at', said_at, 'valid_from', valid_from,
        'valid_to', valid_to, 'status', status, 'superseded_by', superseded_by, 'seen', seen) order by id), '[]')
    from (select * from public.profile_facts where user_id = p_user_id and id > p_after order by id limit p_limit) f;
$$;

create or replace function public.ray_import_profile_update_facts(p_user_id text, p_facts jsonb)
returns void language plpgsql set search_path = '' set enable_seqscan = off as $$
declare
    x record;
begin
    for x in
        select * from jsonb_to_recordset(p_facts) f (id text, status text, superseded_by text, valid_from timestamptz,
            valid_to timestamptz, seen integer)
    loop
        update public.profile_facts f
        set status = x.status, superseded_by = x.superseded_by, valid_from = x.valid_from, valid_to = x.valid_to,
            seen = x.seen
        where f.user_id = p_user_id and f.id = x.id
            and (f.status, f.superseded_by, f.valid_from, f.valid_to, f.seen)
                is distinct from (x.status, x.superseded_by, x.valid_from, x.valid_to, x.seen);
    end loop;
end $$;

-- False, and nothing is written, where its run does not run (any more).
create or replace function public.ray_import_profile_save_version(p_user_id text, p_version jsonb)
returns boolean language plpgsql set search_path = '' as $$
begin
    perform from public.profile_runs
    where user_id = p_user_id and id = p_version ->> 'run_id' and status = 'running' for share;
    if not found then
        return false;
    end if;
    insert into public.profile_versions
        (user_id, id, run_id, kind, model, prompt_version, sections, memory_md, facts_hash, created_at)
    select p_user_id, v.* from jsonb_to_record(p_version) v (id text, run_id text, kind text, model text,
        prompt_version text, sections jsonb, memory_md text, facts_hash text, created_at timestamptz)
    on conflict do nothing;
    return true;
end $$;

create or replace function public.ray_import_profile_versions(p_user_id text, p_from integer, p_limit integer)
returns jsonb language sql stable set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('id', id, 'run_id', run_id, 'kind', kind, 'model', model,
        'prompt_version', prompt_version, 'sections', sections, 'memory_md', memory_md, 'facts_hash', facts_hash,
        'created_at', created_at) order by created_at desc, id collate "C" desc), '[]')
    from (
        select * from public.profile_versions where user_id = p_user_id
        order by created_at desc, id collate "C" desc offset p_from limit p_limit) v;
$$;

-- Deletes all of a user's profile. Returns how many rows of each table. Runs are the first: what a process still writes
-- waits for their rows, and finds them gone.
create or replace function public.ray_import_profile_forget(p_user_id text)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_deleted jsonb := '{}';
    v_count integer;
    a_table text;
begin
    foreach a_table in array array['runs', 'requests', 'units', 'facts', 'versions', 'fact_units'] loop
        execute format('delete from public.%I where user_id = $1', 'profile_' || a_table) using p_user_id;
        get diagnostics v_count = row_count;
        v_deleted := v_deleted || jsonb_build_object(a_table, v_count);
    end loop;
    return v_deleted - 'fact_units';
end $$;

-- Sets those columns of p_values that a table of the service has, in the row of the user. Returns the names of the others.
-- Where the user has no row, one is inserted if there is a value to set.
create or replace function public.ray_import_publish_profile(p_table text, p_user_id text, p_values jsonb)
returns jsonb language plpgsql set search_path = '' as $$
declare
    v_table constant regclass := format('public.%I', p_table)::regclass;
    v_update constant text := 'update public.%1$I t set (%2$s) = (select %2$s from jsonb_populate_record(null::public.%1$I, $1))'
        ' where t.user_id = (jsonb_populate_record(null::public.%1$I, jsonb_build_object(''user_id'', $2))).user_id';
    v_columns text;
    v_given text;
    v_skipped jsonb;
    v_found integer;
begin
    select string_agg(quote_ident(v.key), ', ') filter (where c.is_there),
        string_agg(quote_ident(v.key), ', ') filter (where c.is_there and v.value <> 'null'),
        coalesce(jsonb_agg(v.key order by v.key collate "C") filter (where not c.is_there), '[]')
    into v_columns, v_given, v_skipped
    from jsonb_each(p_values) v, lateral (
        select v.key <> 'user_id' and exists (
            select from pg_attribute
            where attrelid = v_table and attname = v.key and attnum > 0 and not attisdropped and attgenerated = '')
        as is_there) c;
    if v_columns is null then
        return v_skipped;
    end if;
    execute format(v_update, p_table, v_columns) using p_values, p_user_id;
    get diagnostics v_found = row_count;
    if v_found = 0 and v_given is not null then
        begin
            execute format('insert into public.%1$I (user_id, %2$s) select user_id, %2$s'
                ' from jsonb_populate_record(null::public.%1$I, $1 || jsonb_build_object(''user_id'', $2))',
                p_table, v_given) using p_values, p_user_id;
        exception when unique_violation then  -- somebody has inserted the row in between
            execute format(v_update, p_table, v_columns) using p_values, p_user_id;
            get diagnostics v_found = row_count;
            if v_found = 0 then
                raise;
            end if;
        end;
    end if;
    return v_skipped;
end $$;

-- A user reads their facts and versions; the importer writes; nobody else does anything.
do $$
declare
    a_table text;
    a_role text;
begin
    foreach a_table in array array['profile_runs', 'profile_requests', 'profile_units', 'profile_facts',
        'profile_fact_units', 'profile_versions']
    loop
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
    if to_regprocedure('auth.uid()') is not null then
        foreach a_table in array array['profile_facts', 'profile_versions'] loop
            execute format('grant select on public.%I to authenticated', a_table);
            execute format('drop policy if exists ray_import_own_rows on public.%I', a_table);
            execute format('create policy ray_import_own_rows on public.%I for select to authenticated'
                ' using (user_id = (select auth.uid())::text)', a_table);
        end loop;
    end if;
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
        where pronamespace = 'public'::regnamespace
            and (proname like 'ray\_import\_profile\_%' or proname = 'ray_import_publish_profile')
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

insert into public.ray_import_migrations (version) values (13) on conflict do nothing;
commit;

notify pgrst, 'reload schema';

-- The tables that ray_import writes. May be run again; keeps what an earlier conversation_chunks holds, and adds to it.
begin;

create table if not exists public.ray_import_migrations (
    version    integer primary key,
    applied_at timestamptz not null default now()
);

create table if not exists public.conversation_chunks (
    id              uuid primary key,   -- UUIDv5 of user, conversation, thread, tier and index
    user_id         text not null,
    conversation_id text not null,
    title           text,
    content         text not null,
    message_count   integer,            -- of the messages that are new in this chunk, not in its overlap
    token_count     integer,
    chunk_tier      text,
    is_recent       boolean,            -- under 180 days old when it was imported
    created_at      timestamptz,        -- the time of the first of its new messages
    updated_at      timestamptz default now()
);
-- What the earlier service's table lacks. Its rows have no values there.
alter table public.conversation_chunks
    add column if not exists title         text,
    add column if not exists message_count integer,
    add column if not exists token_count   integer,
    add column if not exists chunk_tier    text,
    add column if not exists is_recent     boolean,
    add column if not exists created_at    timestamptz,
    add column if not exists updated_at    timestamptz default now(),
    add column if not exists thread        text,      -- 'main', or the node with which a side branch begins
    add column if not exists chunk_index   integer,   -- from 0, within the thread
    add column if not exists chunk_count   integer,   -- of the thread
    add column if not exists node_ids      jsonb,     -- of the new messages
    add column if not exists import_id     text;
-- A message may have no time.
alter table public.conversation_chunks alter column created_at drop not null;
create index if not exists conversation_chunks_by_conversation on public.conversation_chunks (conversation_id, user_id);
create index if not exists conversation_chunks_by_time on public.conversation_chunks (user_id, created_at);
create index if not exists conversation_chunks_recent on public.conversation_chunks (user_id, created_at) where is_recent;

create table if not exists public.imported_conversations (
    user_id         text not null,
    conversation_id text not null,
    content_hash    text not null,
    other_hash      text,               -- of a copy in the same export, just as new, that was passed over
    settings_hash   text not null,
    title           text not null,
    create_time     timestamptz,
    update_time     timestamptz,
    node_count      integer not null,
    message_count   integer not null,
    chunk_count     integer not null,
    import_id       text not null,
    imported_at     timestamptz not null,
    seen_in         text,               -- the last import with --prune whose export held it
    primary key (user_id, conversation_id)
);
create index if not exists imported_conversations_by_hash on public.imported_conversations (content_hash, user_id);
create index if not exists imported_conversations_by_other_hash
    on public.imported_conversations (other_hash, user_id) where other_hash is not null;

create table if not exists public.import_jobs (
    id          text primary key,
    user_id     text not null,
    source      text not null,
    status      text not null check (status in ('running', 'complete', 'partial', 'failed')),
    counts      jsonb not null default '{}',
    error       text,
    holder      text,                   -- host and process of a running import
    started_at  timestamptz not null,
    updated_at  timestamptz not null,   -- the running import's last sign of life
    finished_at timestamptz,
    number      bigint generated always as identity
);
create index if not exists import_jobs_by_time on public.import_jobs (started_at);
-- One import a user at a time.
create unique index if not exists import_jobs_running on public.import_jobs (user_id) where status = 'running';

create table if not exists public.import_rejects (
    import_id       text not null,
    user_id         text not null,
    source_member   text not null,
    position        bigint not null,
    conversation_id text,
    reason          text not null,
    raw             bytea not null,
    raw_hash        text not null,
    number          bigint generated always as identity,
    primary key (user_id, raw_hash)
);

-- lz4 packs long texts at a third of the cost of Postgres' default, where the server has it.
do $$
begin
    alter table public.conversation_chunks alter column content set compression lz4;
exception when feature_not_supported then
    null;
end $$;

-- A column that only the earlier service knows must not stand in the way of new rows.
do $$
declare
    odd text;
begin
    select string_agg(quote_ident(attname), ', ') into odd
    from pg_attribute
    where attrelid = 'public.conversation_chunks'::regclass and attnum > 0 and not attisdropped
      and attnotnull and not atthasdef and attidentity = '' and attgenerated = ''
      and attname <> all (array['id', 'user_id', 'conversation_id', 'title', 'content', 'message_count', 'token_count',
          'chunk_tier', 'is_recent', 'created_at', 'updated_at', 'thread', 'chunk_index', 'chunk_count', 'node_ids',
          'import_id']);
    if odd is not null then
        raise exception 'conversation_chunks has columns that must not be null and have no default: %', odd
            using errcode = 'RI001', hint = 'Give them a default, or allow null in them, and run this again.';
    end if;
end $$;

insert into public.ray_import_migrations (version) values (1) on conflict do nothing;
commit;

-- What happened, written in the transaction of what it tells. `audience` is the project, or the tenant when it is about
-- all of its projects, or '' for the whole gateway. `autoincrement`: a place in the order is never given twice, so that
-- a reader who comes back finds where it was, whatever was pruned meanwhile.
create table events (
  seq integer primary key autoincrement,
  id text not null unique,
  type text not null,
  tenant_id text not null,
  project_id text,
  audience text not null generated always as (coalesce(project_id, tenant_id)) stored,
  at integer not null,
  fields text not null
) strict;
create index events_by_audience on events (audience, seq);
create index events_by_audience_and_type on events (audience, type, seq);
create index events_by_type on events (type, seq);
create index events_by_time on events (at);
create trigger events_are_never_updated before update on events
begin
  select raise(abort, 'events is append-only');
end;

-- Where a project's events are sent. `types` is a JSON list; an empty one is all of them. `earlier_sealed` is the secret
-- that a new one has replaced; it still signs until `earlier_until`.
create table webhooks (
  id text primary key,
  tenant_id text not null,
  project_id text not null,
  url text not null,
  types text not null,
  secret_sealed blob not null,
  earlier_sealed blob,
  earlier_until integer,
  enabled integer not null,
  disabled_reason text,
  created_at integer not null
) strict, without rowid;
create index webhooks_by_project on webhooks (project_id);
create index webhooks_by_tenant on webhooks (tenant_id);

-- What is sent where. `next_at` is when it is tried (again), while it is pending.
create table webhook_deliveries (
  id integer primary key autoincrement,
  webhook_id text not null references webhooks (id) on delete cascade,
  seq integer not null references events (seq) on delete cascade,
  state text not null check (state in ('pending', 'delivered', 'dead')),
  attempts integer not null default 0,
  next_at integer not null,
  last_at integer,
  last_status integer,
  last_error text,
  unique (webhook_id, seq)
) strict;
create index deliveries_by_event on webhook_deliveries (seq);
create index deliveries_in_order on webhook_deliveries (webhook_id, seq, next_at) where state = 'pending';
create index deliveries_due on webhook_deliveries (webhook_id, next_at) where state = 'pending';
create index deliveries_by_time on webhook_deliveries (next_at) where state = 'pending';

-- The outbox: whoever writes an event writes its deliveries, in the same transaction, and none can forget to.
create trigger events_are_delivered after insert on events
begin
  insert into webhook_deliveries (webhook_id, seq, state, next_at)
  select w.id, new.seq, 'pending', new.at from webhooks w
  where w.enabled = 1
    and w.id in (
      select id from webhooks where project_id = new.project_id
      union all
      select id from webhooks where tenant_id = iif(new.project_id is null, new.tenant_id, null)
      union all
      select id from webhooks where tenant_id > iif(new.audience = '', '', null))
    and case when new.type = 'webhook_test' then w.id = json_extract(new.fields, '$.webhook_id')
      else w.types = '[]' or exists (select 1 from json_each(w.types) t where t.value = new.type) end;
end;

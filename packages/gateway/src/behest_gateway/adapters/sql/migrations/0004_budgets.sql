-- Budgets in every scope, unit and window. `user_ref` names the user of scope `user`, `subject` the API key or model of
-- scopes `key` and `model`. Amounts are nano-dollars, tokens or requests, by `unit`.
create table budgets_new (
  id text primary key,
  tenant_id text not null references tenants (id),
  project_id text references projects (id),
  scope text not null check (
    scope in ('tenant', 'project', 'user', 'each_user', 'each_session', 'each_thread', 'key', 'each_key', 'model')
  ),
  user_ref integer references users (id),
  subject text,
  unit text not null check (unit in ('usd', 'tokens', 'requests')),
  "window" text not null check ("window" in ('day', 'month', 'rolling', 'lifetime')),
  hours integer not null,
  timezone text not null,
  amount integer not null check (amount >= 0),
  mode text not null check (mode in ('enforce', 'shadow')),
  thresholds text not null,
  created_at integer not null,
  deleted_at integer,
  check ((scope = 'user') = (user_ref is not null)),
  check ((scope in ('key', 'model')) = (subject is not null)),
  check ((scope = 'tenant') = (project_id is null)),
  check (("window" = 'rolling') = (hours > 0))
) strict;
insert into budgets_new
select
  b.id, p.tenant_id, b.project_id, b.scope, b.user_ref, null, 'usd', b."window", 0, b.timezone, b.limit_nano, 'enforce',
  '50,80,100', b.created_at, b.deleted_at
from budgets b join projects p on p.id = b.project_id;
drop table budgets;
alter table budgets_new rename to budgets;
create index budgets_of_project on budgets (project_id);
create index budgets_of_tenant on budgets (tenant_id) where project_id is null;

-- Money, tokens or requests that were added to a budget of a lifetime. Rows are only ever added.
create table top_ups (
  budget_id text not null references budgets (id),
  id text not null,
  amount integer not null check (amount > 0),
  note text not null,
  added_by text not null,
  added_at integer not null,
  primary key (budget_id, id)
) strict, without rowid;
create trigger top_ups_are_never_updated before update on top_ups
begin
  select raise(abort, 'top_ups is append-only');
end;
create trigger top_ups_are_never_deleted before delete on top_ups
begin
  select raise(abort, 'top_ups is append-only');
end;

-- What a budget's subject has spent in a window, in the budget's unit, and how often it was refused, or would have been
-- in shadow mode. `spent` is derived from the ledger.
create table counters_new (
  budget_id text not null,
  subject text not null,
  window_id text not null,
  spent integer not null,
  refused integer not null default 0,
  primary key (budget_id, subject, window_id)
) strict, without rowid;
insert into counters_new (budget_id, subject, window_id, spent)
select budget_id, case user_ref when 0 then '' else cast(user_ref as text) end, window_id, spent_nano from counters;
drop table counters;
alter table counters_new rename to counters;

-- Which thresholds of a budget were passed, once in each window.
create table alerts (
  budget_id text not null,
  subject text not null,
  window_id text not null,
  percent integer not null,
  raised_at integer not null,
  primary key (budget_id, subject, window_id, percent)
) strict, without rowid;

-- What a row counts as in budgets of tokens; which budgets it counted in, by id, separated by commas; and which budgets
-- in shadow mode would have refused it. Null where a row is older than this.
alter table ledger add column hold_tokens integer not null default 0;
alter table ledger add column charged_tokens integer not null default 0;
alter table ledger add column budgets text;
alter table ledger add column would_refuse text;
update ledger set hold_tokens = input_tokens + output_tokens, charged_tokens = input_tokens + output_tokens
where input_tokens + output_tokens > 0;

-- Holds of a gateway that died before the upgrade, in the words of this one.
update holds set entry = json_set(
  entry, '$.slots', json(
    (
      select json_group_array(
        json_array(
          json_extract(value, '$[0]'),
          case json_extract(value, '$[1]') when 0 then '' else cast(json_extract(value, '$[1]') as text) end,
          json_extract(value, '$[2]'),
          0
        )
      ) from json_each(entry, '$.counters')
    )
  )
);

-- Times are microseconds since 1970 in UTC; money is nano-dollars; ids are UUIDs as text.

-- Facts about this data directory itself, such as the hash of the operator's secret.
create table facts (
  name text primary key,
  value text not null
) strict, without rowid;

create table tenants (
  id text primary key,
  name text not null,
  plan text not null,
  created_at integer not null
) strict;

-- `deployed` and `draft` are JSON objects of settings; the stages only ever see what is deployed.
create table projects (
  id text primary key,
  tenant_id text not null references tenants (id),
  name text not null,
  slug text not null unique,
  status text not null check (status in ('active', 'suspended', 'deleted')),
  dns_status text not null,
  deployed text not null,
  draft text,
  created_at integer not null
) strict;
create index projects_of_tenant on projects (tenant_id);

-- An API key is stored twice, and neither way gives it back: `lookup` finds it, `hash` proves it.
create table api_keys (
  id text primary key,
  project_id text not null references projects (id),
  name text not null,
  role text not null,
  lookup text not null unique,
  hash text not null,
  last4 text not null,
  created_at integer not null,
  revoked_at integer
) strict;
create index api_keys_of_project on api_keys (project_id);

-- Keys that sign users' tokens. A row without a tenant is the gateway's own; only those have a private half, sealed.
create table signing_keys (
  kid text primary key,
  tenant_id text references tenants (id),
  name text not null,
  public_pem text not null,
  private_sealed blob,
  created_at integer not null,
  retired_at integer,
  revoked_at integer
) strict;

-- A person, as one project knows them. Everything else points here, so that erasing the uid keeps the sums.
create table users (
  id integer primary key,
  project_id text not null,
  uid text,
  created_at integer not null,
  unique (project_id, uid)
) strict;

create table budgets (
  id text primary key,
  project_id text not null references projects (id),
  scope text not null check (scope in ('project', 'user', 'each_user')),
  user_ref integer references users (id),
  "window" text not null,
  timezone text not null,
  limit_nano integer not null check (limit_nano >= 0),
  created_at integer not null,
  deleted_at integer,
  check ((scope = 'user') = (user_ref is not null))
) strict;
create index budgets_of_project on budgets (project_id);

-- What is spent of a budget in one window. Derived from the ledger; `user_ref` is 0 for a budget that is not per user.
create table counters (
  budget_id text not null,
  user_ref integer not null,
  window_id text not null,
  spent_nano integer not null,
  primary key (budget_id, user_ref, window_id)
) strict, without rowid;

-- Every price vector that was ever charged by, so that a ledger row can be priced again.
create table prices (
  hash text primary key,
  version text not null,
  provider text not null,
  model text not null,
  vector text not null,
  first_used_at integer not null
) strict, without rowid;

-- Money set aside for attempts that are under way. `entry` is what the ledger needs if the process dies.
create table holds (
  attempt_id text primary key,
  amount_nano integer not null,
  expires_at integer not null,
  entry text not null
) strict, without rowid;

-- One row per attempt, written once. `attempt` 0 is a request that was refused before any attempt.
-- state: settled = the provider said; estimated = counted by us; unconfirmed = the worst case, since nobody said;
--        released = certainly not billed; refused = never sent; corrected = puts right the row in `corrects_id`.
create table ledger (
  attempt_id text primary key,
  request_id text not null,
  attempt integer not null,
  operation text not null,
  started_at integer not null,
  settled_at integer not null,
  tenant_id text not null,
  project_id text not null,
  user_ref integer not null,
  api_key_id text,
  session_id text,
  thread_id text,
  tier text,
  byok integer not null default 0,
  provider text not null,
  model_asked text not null,
  model text not null,
  stream integer not null,
  input_tokens integer not null default 0,
  cached_read_tokens integer not null default 0,
  cache_write_tokens integer not null default 0,
  output_tokens integer not null default 0,
  reasoning_tokens integer not null default 0,
  audio_input_tokens integer not null default 0,
  audio_output_tokens integer not null default 0,
  images integer not null default 0,
  calls integer not null default 0,
  hold_nano integer not null,
  cost_nano integer not null,
  currency text not null default 'USD',
  price_version text not null,
  price_hash text not null,
  state text not null
    check (state in ('settled', 'estimated', 'unconfirmed', 'released', 'refused', 'corrected')),
  status integer not null,
  error_code text,
  finish_reason text,
  latency_us integer not null,
  first_byte_us integer,
  corrects_id text
) strict, without rowid;
create index ledger_by_time on ledger (project_id, started_at);
create index ledger_by_user on ledger (project_id, user_ref, started_at);

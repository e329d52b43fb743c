-- What was used by the hour and by the day. Written in the transaction of the ledger row, from rows really inserted, and
-- only for attempts (`attempt` > 0). Derived from the ledger: `behest ledger verify --rebuild` makes them again.

-- A project by the hour of UTC. A tier of nobody is ''.
create table usage_by_hour (
  project_id text not null,
  starts_at integer not null,
  model text not null,
  tier text not null,
  byok integer not null,
  requests integer not null,
  input_tokens integer not null,
  cached_read_tokens integer not null,
  output_tokens integer not null,
  cost_nano integer not null,
  primary key (project_id, starts_at, model, tier, byok)
) strict, without rowid;

-- A user by the day of UTC.
create table usage_by_user_day (
  user_ref integer not null,
  starts_at integer not null,
  model text not null,
  tier text not null,
  byok integer not null,
  requests integer not null,
  input_tokens integer not null,
  cached_read_tokens integer not null,
  output_tokens integer not null,
  cost_nano integer not null,
  primary key (user_ref, starts_at, model, tier, byok)
) strict, without rowid;

-- A session of a user by the day of UTC; calls without a session are in the other two alone.
create table usage_by_session_day (
  project_id text not null,
  starts_at integer not null,
  session_id text not null,
  user_ref integer not null,
  requests integer not null,
  input_tokens integer not null,
  cached_read_tokens integer not null,
  output_tokens integer not null,
  cost_nano integer not null,
  primary key (project_id, starts_at, session_id, user_ref)
) strict, without rowid;

insert into usage_by_hour
select
  project_id, started_at / 3600000000 * 3600000000, model, coalesce(tier, ''), byok, count(*), sum(input_tokens),
  sum(cached_read_tokens), sum(output_tokens), sum(cost_nano)
from ledger where attempt > 0 group by 1, 2, 3, 4, 5;

insert into usage_by_user_day
select
  user_ref, started_at / 86400000000 * 86400000000, model, coalesce(tier, ''), byok, count(*), sum(input_tokens),
  sum(cached_read_tokens), sum(output_tokens), sum(cost_nano)
from ledger where attempt > 0 group by 1, 2, 3, 4, 5;

insert into usage_by_session_day
select
  project_id, started_at / 86400000000 * 86400000000, session_id, user_ref, count(*), sum(input_tokens),
  sum(cached_read_tokens), sum(output_tokens), sum(cost_nano)
from ledger where attempt > 0 and session_id is not null group by 1, 2, 3, 4;

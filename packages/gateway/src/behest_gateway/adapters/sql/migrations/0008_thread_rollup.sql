-- A conversation of a user by the day of UTC; calls without a thread are in the other rollups alone. Derived from the
-- ledger as those are.
create table usage_by_thread_day (
  project_id text not null,
  starts_at integer not null,
  thread_id text not null,
  user_ref integer not null,
  requests integer not null,
  input_tokens integer not null,
  cached_read_tokens integer not null,
  output_tokens integer not null,
  cost_nano integer not null,
  primary key (project_id, starts_at, thread_id, user_ref)
) strict, without rowid;

insert into usage_by_thread_day
select
  project_id, started_at / 86400000000 * 86400000000, thread_id, user_ref, count(*), sum(input_tokens),
  sum(cached_read_tokens), sum(output_tokens), sum(cost_nano)
from ledger where attempt > 0 and thread_id is not null group by 1, 2, 3, 4;

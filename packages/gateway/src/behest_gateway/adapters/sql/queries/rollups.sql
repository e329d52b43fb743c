-- add_hour: add to what a project used in an hour
insert into usage_by_hour values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (project_id, starts_at, model, tier, byok) do update set
  requests = requests + excluded.requests,
  input_tokens = input_tokens + excluded.input_tokens,
  cached_read_tokens = cached_read_tokens + excluded.cached_read_tokens,
  output_tokens = output_tokens + excluded.output_tokens,
  cost_nano = cost_nano + excluded.cost_nano

-- add_user_day: add to what a user used in a day
insert into usage_by_user_day values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (user_ref, starts_at, model, tier, byok) do update set
  requests = requests + excluded.requests,
  input_tokens = input_tokens + excluded.input_tokens,
  cached_read_tokens = cached_read_tokens + excluded.cached_read_tokens,
  output_tokens = output_tokens + excluded.output_tokens,
  cost_nano = cost_nano + excluded.cost_nano

-- add_session_day: add to what a session used in a day
insert into usage_by_session_day values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (project_id, starts_at, session_id, user_ref) do update set
  requests = requests + excluded.requests,
  input_tokens = input_tokens + excluded.input_tokens,
  cached_read_tokens = cached_read_tokens + excluded.cached_read_tokens,
  output_tokens = output_tokens + excluded.output_tokens,
  cost_nano = cost_nano + excluded.cost_nano

-- add_thread_day: add to what a thread used in a day
insert into usage_by_thread_day values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (project_id, starts_at, thread_id, user_ref) do update set
  requests = requests + excluded.requests,
  input_tokens = input_tokens + excluded.input_tokens,
  cached_read_tokens = cached_read_tokens + excluded.cached_read_tokens,
  output_tokens = output_tokens + excluded.output_tokens,
  cost_nano = cost_nano + excluded.cost_nano

-- usage_by_hour: the hours as the ledger makes them
select
  project_id, started_at / 3600000000 * 3600000000, model, coalesce(tier, ''), byok, count(*), sum(input_tokens),
  sum(cached_read_tokens), sum(output_tokens), sum(cost_nano)
from ledger where attempt > 0 group by 1, 2, 3, 4, 5

-- usage_by_user_day: the users' days as the ledger makes them
select
  user_ref, started_at / 86400000000 * 86400000000, model, coalesce(tier, ''), byok, count(*), sum(input_tokens),
  sum(cached_read_tokens), sum(output_tokens), sum(cost_nano)
from ledger where attempt > 0 group by 1, 2, 3, 4, 5

-- usage_by_session_day: the sessions' days as the ledger makes them
select
  project_id, started_at / 86400000000 * 86400000000, session_id, user_ref, count(*), sum(input_tokens),
  sum(cached_read_tokens), sum(output_tokens), sum(cost_nano)
from ledger where attempt > 0 and session_id is not null group by 1, 2, 3, 4

-- usage_by_thread_day: the threads' days as the ledger makes them
select
  project_id, started_at / 86400000000 * 86400000000, thread_id, user_ref, count(*), sum(input_tokens),
  sum(cached_read_tokens), sum(output_tokens), sum(cost_nano)
from ledger where attempt > 0 and thread_id is not null group by 1, 2, 3, 4

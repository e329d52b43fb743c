-- summary: what a project used, by steps of so many microseconds
select
  starts_at / :step * :step, sum(requests), sum(input_tokens), sum(cached_read_tokens), sum(output_tokens),
  sum(cost_nano)
from usage_by_hour where project_id = :project and starts_at >= :from and starts_at < :to
group by 1 order by 1

-- models: the dearest models, by who paid the provider
select
  model, byok, sum(requests), sum(input_tokens), sum(cached_read_tokens), sum(output_tokens), sum(cost_nano) as cost
from usage_by_hour where project_id = :project and starts_at >= :from and starts_at < :to
group by 1, 2 order by cost desc, 1, 2 limit :limit

-- tiers: the dearest tiers
select
  tier, sum(requests), sum(input_tokens), sum(cached_read_tokens), sum(output_tokens), sum(cost_nano) as cost
from usage_by_hour where project_id = :project and starts_at >= :from and starts_at < :to
group by 1 order by cost desc, 1 limit :limit

-- users: the dearest users
select
  users.uid, sum(requests), sum(input_tokens), sum(cached_read_tokens), sum(output_tokens), sum(cost_nano) as cost
from users cross join usage_by_user_day as used on used.user_ref = users.id
where users.project_id = :project and used.starts_at >= :from and used.starts_at < :to
group by users.id order by cost desc, users.id limit :limit

-- sessions: the dearest sessions, each of one user
select dearest.session_id, users.uid, requests, input_tokens, cached_read_tokens, output_tokens, cost
from (
  select
    session_id, user_ref, sum(requests) as requests, sum(input_tokens) as input_tokens,
    sum(cached_read_tokens) as cached_read_tokens, sum(output_tokens) as output_tokens, sum(cost_nano) as cost
  from usage_by_session_day where project_id = :project and starts_at >= :from and starts_at < :to
  group by session_id, user_ref order by cost desc, session_id, user_ref limit :limit
) as dearest left join users on users.id = dearest.user_ref
order by cost desc, dearest.session_id, dearest.user_ref

-- threads: the dearest threads, each of one user
select dearest.thread_id, users.uid, requests, input_tokens, cached_read_tokens, output_tokens, cost
from (
  select
    thread_id, user_ref, sum(requests) as requests, sum(input_tokens) as input_tokens,
    sum(cached_read_tokens) as cached_read_tokens, sum(output_tokens) as output_tokens, sum(cost_nano) as cost
  from usage_by_thread_day where project_id = :project and starts_at >= :from and starts_at < :to
  group by thread_id, user_ref order by cost desc, thread_id, user_ref limit :limit
) as dearest left join users on users.id = dearest.user_ref
order by cost desc, dearest.thread_id, dearest.user_ref

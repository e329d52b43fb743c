-- rows_of_project: what a project used: whole hours from their sums, what is left at either end from the ledger
select starts_at as at, model, byok, requests, input_tokens, output_tokens, cost_nano
from usage_by_hour where project_id = :project and starts_at >= :whole_from and starts_at < :whole_to
union all
select started_at, model, byok, 1, input_tokens, output_tokens, cost_nano
from ledger where project_id = :project and started_at >= :from and started_at < :whole_from and attempt > 0
union all
select started_at, model, byok, 1, input_tokens, output_tokens, cost_nano
from ledger where project_id = :project and started_at >= :whole_to and started_at < :to and attempt > 0

-- rows_of_user: what a user used: whole days from their sums, what is left at either end from the ledger
select starts_at as at, model, byok, requests, input_tokens, output_tokens, cost_nano
from usage_by_user_day where user_ref = :user and starts_at >= :whole_from and starts_at < :whole_to
union all
select started_at, model, byok, 1, input_tokens, output_tokens, cost_nano
from ledger
where project_id = :project and user_ref = :user and started_at >= :from and started_at < :whole_from and attempt > 0
union all
select started_at, model, byok, 1, input_tokens, output_tokens, cost_nano
from ledger
where project_id = :project and user_ref = :user and started_at >= :whole_to and started_at < :to and attempt > 0

-- totals: requests, tokens and cost of those rows
select
  coalesce(sum(requests), 0), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
  coalesce(sum(cost_nano), 0)
from ($rows)

-- by_time: the same, by steps of so many microseconds
select at / :step * :step, sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_nano)
from ($rows) group by 1 order by 1

-- by_model: the same, by who pays the provider and by model
select byok, model, sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_nano) as cost
from ($rows) group by 1, 2 order by 1, cost desc, 2

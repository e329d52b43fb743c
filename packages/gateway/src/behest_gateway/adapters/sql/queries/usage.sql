-- totals: requests, tokens and cost of a project in a stretch of time; of one user when a user is given
select
  count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cost_nano), 0)
from ledger
where project_id = ?1 and started_at >= ?2 and started_at < ?3 and attempt > 0 and (?4 is null or user_ref = ?4)

-- by_time: the same, by steps of so many microseconds
select
  started_at / ?5 * ?5,
  count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cost_nano), 0)
from ledger
where project_id = ?1 and started_at >= ?2 and started_at < ?3 and attempt > 0 and (?4 is null or user_ref = ?4)
group by 1
order by 1

-- by_model: the same, by who pays the provider and by model
select
  byok, model,
  count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cost_nano), 0)
from ledger
where project_id = ?1 and started_at >= ?2 and started_at < ?3 and attempt > 0 and (?4 is null or user_ref = ?4)
group by 1, 2
order by 1, 6 desc

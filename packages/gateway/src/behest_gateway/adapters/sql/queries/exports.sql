-- attempts: the next rows of a project, in order
select
  attempt_id, request_id, attempt, operation, started_at, settled_at, tenant_id, ledger.project_id, users.uid,
  api_key_id, session_id, thread_id, tier, byok, provider, model_asked, model, stream, input_tokens,
  cached_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,
  images, calls, hold_nano, cost_nano, currency, price_version, price_hash, state, status, error_code, finish_reason,
  latency_us, first_byte_us, corrects_id, hold_tokens, charged_tokens, budgets, would_refuse,
  guard
from ledger left join users on users.id = ledger.user_ref
where ledger.project_id = :project and started_at >= :from and started_at < :to
  and (started_at, attempt_id) > (:from, :after)
order by started_at, attempt_id limit :limit

-- next_start: when the first attempt of a span came
select min(started_at) from ledger where project_id = :project and started_at >= :from and started_at < :to

-- charges: what was charged alike, with the band of the price that its input falls in
with steps as materialized (
  select prices.hash, cast(each.value ->> 'above' as integer) as above
  from prices, json_each(prices.vector) as each where each.value ->> 'above' > 0
),
rows as (
  select
    *,
    coalesce(
      (select max(above) from steps where steps.hash = ledger.price_hash and above < ledger.input_tokens), 0
    ) as band,
    max(0, cached_read_tokens + cache_write_tokens + audio_input_tokens - input_tokens) as twice
  from ledger
  where project_id = :project and started_at >= :from and started_at < :to and (state = 'settled' or cost_nano <> 0)
)
select
  provider, model, (select uid from users where users.id = rows.user_ref), tier, api_key_id, byok, state,
  price_version, price_hash, band,
  sum(max(0, input_tokens - cached_read_tokens - cache_write_tokens - audio_input_tokens)), sum(cached_read_tokens - min(twice, cached_read_tokens)),
  sum(cache_write_tokens - twice + min(twice, cached_read_tokens)), sum(audio_input_tokens - twice),
  sum(min(twice, cached_read_tokens)), sum(twice - min(twice, cached_read_tokens)), sum(output_tokens - audio_output_tokens),
  sum(audio_output_tokens), count(*), sum(cost_nano)
from rows
group by provider, model, user_ref, tier, api_key_id, byok, state, price_version, price_hash, band
order by provider, model, user_ref, tier, api_key_id, byok, state, price_version, price_hash, band

-- prices: every price vector
select hash, vector from prices

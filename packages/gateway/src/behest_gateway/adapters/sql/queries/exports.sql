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

-- charged: what charges are added up from
select
  provider, model, user_ref, users.uid, tier, api_key_id, byok, state, price_version, price_hash, input_tokens,
  output_tokens, cached_read_tokens, cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,
  cost_nano
from ledger left join users on users.id = ledger.user_ref
where ledger.project_id = :project and started_at >= :from and started_at < :to
  and (state = 'settled' or cost_nano <> 0)

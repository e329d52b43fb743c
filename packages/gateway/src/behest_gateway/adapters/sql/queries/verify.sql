-- rows: every row, with what it takes to price it again
select
  attempt_id, attempt, started_at, settled_at, project_id, user_ref, input_tokens, output_tokens, cached_read_tokens,
  cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, hold_nano, cost_nano, price_hash, state, hold_tokens, charged_tokens, budgets, tenant_id, api_key_id, session_id, thread_id, model
from ledger

-- budgets: every budget that ever was
select
  id, tenant_id, project_id, scope, user_ref, subject, unit, "window", hours, timezone, amount, created_at, deleted_at
from budgets

-- counters: what is kept as spent
select budget_id, subject, window_id, spent from counters

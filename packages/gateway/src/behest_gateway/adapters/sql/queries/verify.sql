-- rows: every row, with what it takes to price it again
select
  attempt_id, attempt, started_at, settled_at, project_id, user_ref, input_tokens, cached_read_tokens,
  cache_write_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, hold_nano, cost_nano,
  price_hash, state
from ledger

-- prices: every price vector
select hash, version, provider, model, vector from prices

-- budgets: every budget that ever was
select id, project_id, scope, user_ref, "window", timezone, limit_nano, created_at, deleted_at from budgets

-- counters: what is kept as spent
select budget_id, user_ref, window_id, spent_nano from counters

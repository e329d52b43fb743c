-- insert_hold: set money aside for an attempt
insert into holds (attempt_id, amount_nano, expires_at, entry) values (?, ?, ?, ?)

-- delete_hold: give the money of an attempt back
delete from holds where attempt_id = ?

-- insert_row: write how an attempt ended; a second time changes nothing, and returns nothing
insert into ledger (
  attempt_id, request_id, attempt, operation, started_at, settled_at, tenant_id, project_id, user_ref, api_key_id,
  session_id, thread_id, tier, byok, provider, model_asked, model, stream, input_tokens, cached_read_tokens,
  cache_write_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, calls, hold_nano,
  cost_nano, price_version, price_hash, state, status, error_code, finish_reason, latency_us, first_byte_us, hold_tokens,
  charged_tokens, budgets, would_refuse
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (attempt_id) do nothing
returning attempt_id

-- spend: add to what a budget's subject has spent in a window, and to how often it was refused
insert into counters (budget_id, subject, window_id, spent, refused) values (?, ?, ?, ?, ?)
on conflict (budget_id, subject, window_id)
do update set spent = spent + excluded.spent, refused = refused + excluded.refused

-- set_counter: start a budget's window with what the ledger shows for it
insert into counters (budget_id, subject, window_id, spent) values (?, ?, ?, ?)
on conflict (budget_id, subject, window_id) do update set spent = excluded.spent

-- read_counter: what a budget's subject has spent, by window, from a window on
select window_id, spent from counters where budget_id = ? and subject = ? and window_id >= ?

-- refused: how often a budget refused, over all of its subjects, from a window on
select coalesce(sum(refused), 0) from counters where budget_id = ? and window_id >= ?

-- raise_alert: note that a threshold was passed; a second time returns nothing
insert into alerts (budget_id, subject, window_id, percent, raised_at) values (?, ?, ?, ?, ?)
on conflict do nothing
returning budget_id

-- insert_price: keep a price vector that is charged by
insert into prices (hash, version, provider, model, vector, first_used_at) values (?, ?, ?, ?, ?, ?)
on conflict (hash) do nothing

-- insert_user: know a person under a number
insert into users (id, project_id, uid, created_at) values (?, ?, ?, ?)

-- all_users: every person's number
select id, project_id, uid from users where uid is not null

-- last_user: the highest number given to a person
select coalesce(max(id), 0) from users

-- open_holds: attempts whose money is still set aside
select attempt_id, amount_nano, expires_at, entry from holds

-- all_prices: the hashes of the prices that are kept
select hash from prices

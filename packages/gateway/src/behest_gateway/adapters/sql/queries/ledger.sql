-- insert_hold: set money aside for an attempt
insert into holds (attempt_id, amount_nano, expires_at, entry) values (?, ?, ?, ?)

-- delete_hold: give the money of an attempt back
delete from holds where attempt_id = ?

-- insert_row: write how an attempt ended; a second time changes nothing, and returns nothing
insert into ledger (
  attempt_id, request_id, attempt, operation, started_at, settled_at, tenant_id, project_id, user_ref, api_key_id,
  session_id, thread_id, tier, byok, provider, model_asked, model, stream, input_tokens, cached_read_tokens,
  cache_write_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, calls, hold_nano,
  cost_nano, price_version, price_hash, state, status, error_code, finish_reason, latency_us, first_byte_us
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (attempt_id) do nothing
returning attempt_id

-- spend: add to what is spent of a budget in a window
insert into counters (budget_id, user_ref, window_id, spent_nano) values (?, ?, ?, ?)
on conflict (budget_id, user_ref, window_id) do update set spent_nano = spent_nano + excluded.spent_nano

-- set_counter: start a budget's window with what the ledger shows for it
insert into counters (budget_id, user_ref, window_id, spent_nano) values (?, ?, ?, ?)
on conflict (budget_id, user_ref, window_id) do update set spent_nano = excluded.spent_nano

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

-- counters_since: what is spent, by budget, user and window; of days since one day, and of months since one month
select budget_id, user_ref, window_id, spent_nano from counters
where window_id >= case length(window_id) when 10 then ? else ? end

-- all_prices: the hashes of the prices that are kept
select hash from prices

-- spent_by_user: what a project's users were charged in a stretch of time, each
select user_ref, sum(cost_nano) from ledger
where project_id = ? and started_at >= ? and started_at < ? and cost_nano > 0
group by user_ref

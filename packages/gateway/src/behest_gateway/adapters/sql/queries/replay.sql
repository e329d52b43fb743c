-- rows: every row of a span, in the order in which the requests came
select
  attempt, started_at, ledger.tenant_id, ledger.project_id, coalesce(projects.slug, ledger.project_id), user_ref,
  users.uid, api_key_id, session_id, thread_id, tier, provider, model, input_tokens, output_tokens,
  cached_read_tokens, cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, cost_nano,
  charged_tokens, price_hash, state
from ledger left join users on users.id = ledger.user_ref left join projects on projects.id = ledger.project_id
where (:project is null or ledger.project_id = :project) and started_at >= :from and started_at < :to
order by started_at, attempt_id

-- project: a project by its id or slug
select id from projects where id = :project or slug = :project

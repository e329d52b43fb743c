-- get_fact: The value of a fact.
select value from facts where name = ?;

-- set_fact: Set a fact, in place of an earlier value.
insert into facts (name, value) values (?, ?) on conflict (name) do update set value = excluded.value;

-- insert_tenant: A new tenant.
insert into tenants (id, name, plan, created_at) values (?, ?, ?, ?);

-- update_tenant: The name and plan of a tenant.
update tenants set name = ?, plan = ? where id = ?;

-- get_tenant: One tenant.
select id, name, plan, created_at from tenants where id = ?;

-- list_tenants: Every tenant, oldest first.
select id, name, plan, created_at from tenants order by created_at, id;

-- insert_project: A new project, unless its slug is taken.
insert into projects (id, tenant_id, name, slug, status, dns_status, deployed, draft, created_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (slug) do nothing returning id;

-- update_project: The name and status of a project.
update projects set name = ?, status = ? where id = ? and status <> 'deleted';

-- save_settings: What is deployed, and the draft.
update projects set deployed = ?, draft = ? where id = ? and status <> 'deleted';

-- delete_project: Mark a project deleted. A tilde is in no slug, so the slug becomes free for another project.
update projects set status = 'deleted', slug = slug || '~' || id, draft = null where id = ? and status <> 'deleted';

-- revoke_keys_of_project: Every key of a project that has ended.
update api_keys set revoked_at = ? where project_id = ? and revoked_at is null;

-- delete_budgets_of_project: Every budget of a project that has ended.
update budgets set deleted_at = ? where project_id = ? and deleted_at is null;

-- delete_webhooks_of_project: Every webhook of a project that has ended, with its secrets and what it still had to send.
delete from webhooks where project_id = ?;

-- delete_tiers_of_project: Every tier of a project that has ended.
update project_tiers set deleted_at = ? where project_id = ? and deleted_at is null;

-- get_project: One project that was not deleted.
select id, tenant_id, name, slug, status, dns_status, deployed, draft, created_at
from projects where id = ? and status <> 'deleted';

-- list_projects: The projects of a tenant, or all when it is null, oldest first.
select id, tenant_id, name, slug, status, dns_status, deployed, draft, created_at
from projects where status <> 'deleted' and (?1 is null or tenant_id = ?1) order by created_at, id;

-- insert_key: A new API key.
insert into api_keys (id, project_id, name, role, lookup, hash, last4, created_at) values (?, ?, ?, ?, ?, ?, ?, ?);

-- get_key: One API key of a project that is in force.
select id, project_id, name, role, lookup, hash, last4, created_at
from api_keys where project_id = ? and id = ? and revoked_at is null;

-- list_keys: The API keys in force of a project, or of all when it is null, oldest first.
select id, project_id, name, role, lookup, hash, last4, created_at
from api_keys where revoked_at is null and (?1 is null or project_id = ?1) order by created_at, id;

-- revoke_key: Refuse an API key.
update api_keys set revoked_at = ? where id = ? and revoked_at is null;

-- insert_signing_key: The public half of a tenant's key.
insert into signing_keys (kid, tenant_id, name, public_pem, created_at) values (?, ?, ?, ?, ?);

-- get_signing_key: One tenant's key that is in force.
select kid, tenant_id, name, public_pem, created_at, revoked_at
from signing_keys where kid = ? and tenant_id is not null and revoked_at is null;

-- get_signing_key_of: A tenant's key by its public half, also when it was revoked.
select kid, tenant_id, name, public_pem, created_at, revoked_at
from signing_keys where public_pem = ? and tenant_id is not null order by revoked_at is null desc limit 1;

-- list_signing_keys: The keys in force of a tenant, or of all when it is null, oldest first.
select kid, tenant_id, name, public_pem, created_at, revoked_at
from signing_keys where tenant_id is not null and revoked_at is null and (?1 is null or tenant_id = ?1)
order by created_at, kid;

-- revoke_signing_key: Refuse a tenant's key.
update signing_keys set revoked_at = ? where kid = ? and tenant_id is not null and revoked_at is null;

-- insert_budget: A new budget.
insert into budgets (
  id, tenant_id, project_id, scope, user_ref, subject, unit, "window", hours, timezone, amount, mode, thresholds,
  created_at
) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- list_budgets: The budgets of a project, or of all when it is null, oldest first. An erased user's count no more.
select
  b.id, b.tenant_id, b.project_id, b.scope, u.uid, b.subject, b.unit, b."window", b.hours, b.timezone, b.amount, b.mode,
  b.thresholds, b.created_at
from budgets b left join users u on u.id = b.user_ref
where b.project_id is not null and (?1 is null or b.project_id = ?1) and b.deleted_at is null
  and (b.scope <> 'user' or u.uid is not null)
order by b.created_at, b.id;

-- list_tenant_budgets: The budgets of a whole tenant, or of all when it is null, oldest first.
select
  b.id, b.tenant_id, b.project_id, b.scope, u.uid, b.subject, b.unit, b."window", b.hours, b.timezone, b.amount, b.mode,
  b.thresholds, b.created_at
from budgets b left join users u on u.id = b.user_ref
where b.project_id is null and (?1 is null or b.tenant_id = ?1) and b.deleted_at is null
order by b.created_at, b.id;

-- update_budget: Another limit, mode or thresholds for a budget.
update budgets set amount = ?, mode = ?, thresholds = ? where id = ? and deleted_at is null;

-- raise_budget: A higher limit for a budget.
update budgets set amount = amount + ? where id = ? and deleted_at is null;

-- insert_top_up: Something was added to a budget.
insert into top_ups (id, budget_id, amount, note, added_by, added_at) values (?, ?, ?, ?, ?, ?);

-- get_top_up: One top-up.
select id, budget_id, amount, note, added_by, added_at from top_ups where budget_id = ? and id = ?;

-- list_top_ups: What was added to a budget, oldest first.
select id, budget_id, amount, note, added_by, added_at from top_ups where budget_id = ? order by added_at, id;

-- delete_budget: End a budget.
update budgets set deleted_at = ? where id = ? and deleted_at is null;

-- put_tier: What a tier says, in place of what it said before.
insert into project_tiers (id, project_id, number, name, overrides, created_at) values (?, ?, ?, ?, ?, ?)
on conflict (project_id, name) where deleted_at is null do update set overrides = excluded.overrides;

-- delete_tier: End a tier.
update project_tiers set deleted_at = ? where project_id = ? and name = ? and deleted_at is null;

-- list_tiers: The tiers of a project that say something, or of all when it is null, oldest first.
select project_id, id, number, name, overrides, created_at
from project_tiers where deleted_at is null and (?1 is null or project_id = ?1) order by created_at, id;

-- list_minting_keys: The gateway's own keys that were not revoked, newest first.
select kid, public_pem, private_sealed, created_at, retired_at
from signing_keys where tenant_id is null and revoked_at is null order by created_at desc, rowid desc;

-- retire_minting_keys: The gateway's keys sign no more; their private halves are wiped.
update signing_keys set retired_at = coalesce(retired_at, ?), private_sealed = null
where tenant_id is null and revoked_at is null;

-- revoke_minting_keys: The gateway's keys verify no more, and their private halves are wiped.
update signing_keys set revoked_at = ?, private_sealed = null where tenant_id is null and revoked_at is null;

-- insert_minting_key: A key of the gateway itself.
insert into signing_keys (kid, tenant_id, name, public_pem, private_sealed, created_at)
values (?, null, 'gateway', ?, ?, ?);

-- sealed_count: How many secrets need the master key.
select (select count(*) from signing_keys where private_sealed is not null) + (select count(*) from webhooks);

-- put_switch: Turn a kill switch on, or give it another reason.
insert into switches (scope, target, user_ref, tenant_id, reason, set_by, set_at) values (?, ?, ?, ?, ?, ?, ?)
on conflict (scope, target, user_ref) do update
set reason = excluded.reason, set_by = excluded.set_by, set_at = excluded.set_at;

-- delete_switch: Turn a kill switch off.
delete from switches where scope = ? and target = ? and user_ref = ?;

-- list_switches: The kill switches of a tenant that are on, or all when it is null, oldest first. An erased user's is
-- none.
select s.scope, s.target, s.user_ref, u.uid, s.tenant_id, s.reason, s.set_by, s.set_at
from switches s left join users u on u.id = s.user_ref
where (?1 is null or s.tenant_id = ?1) and (s.scope <> 'user' or u.uid is not null)
order by s.set_at, s.scope, s.target, s.user_ref;

-- insert_switch_change: Who turned a kill switch on or off.
insert into switch_changes (turned, scope, target, user_ref, tenant_id, reason, changed_by, changed_at)
values (?, ?, ?, ?, ?, ?, ?, ?);

-- list_switch_changes: The last changes of a tenant's kill switches, or of all when it is null, newest first.
select c.turned, c.scope, c.target, c.user_ref, u.uid, c.tenant_id, c.reason, c.changed_by, c.changed_at
from switch_changes c left join users u on u.id = c.user_ref
where ?1 is null or c.tenant_id = ?1 order by c.id desc limit ?2;

-- insert_webhook: A new webhook.
insert into webhooks (id, tenant_id, project_id, url, types, secret_sealed, earlier_sealed, earlier_until, enabled,
  disabled_reason, created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- save_webhook: What can change of a webhook.
update webhooks set url = ?2, types = ?3, secret_sealed = ?4, earlier_sealed = ?5, earlier_until = ?6, enabled = ?7,
  disabled_reason = ?8 where id = ?1;

-- delete_webhook: A webhook, and by cascade its deliveries.
delete from webhooks where id = ?;

-- get_webhook: One webhook of a project.
select id, tenant_id, project_id, url, types, secret_sealed, earlier_sealed, earlier_until, enabled, disabled_reason,
  created_at from webhooks where project_id = ? and id = ?;

-- list_webhooks: The webhooks of a project, oldest first.
select id, tenant_id, project_id, url, types, secret_sealed, earlier_sealed, earlier_until, enabled, disabled_reason,
  created_at from webhooks where project_id = ? order by created_at, id;

-- list_deliveries: The last deliveries of a webhook, of a state and of an event unless these are null, newest first.
select d.id, d.state, d.attempts, d.next_at, d.last_at, d.last_status, d.last_error,
  e.id, e.type, e.tenant_id, e.project_id, e.at, e.fields
from webhook_deliveries d join events e on e.seq = d.seq
where d.webhook_id = ?1 and (?2 is null or d.state = ?2) and (?3 is null or e.id = ?3) order by d.seq desc limit ?4;

-- get_delivery: One delivery of a webhook.
select d.id, d.state, d.attempts, d.next_at, d.last_at, d.last_status, d.last_error,
  e.id, e.type, e.tenant_id, e.project_id, e.at, e.fields
from webhook_deliveries d join events e on e.seq = d.seq where d.webhook_id = ? and d.id = ?;

-- replay: A delivery is pending again, as if it had never been tried.
update webhook_deliveries set state = 'pending', attempts = 0, next_at = ?2 where id = ?1;

-- webhooks_due: Webhooks that are on and have something due. By chance, so that none is always the last.
select w.id from webhooks w
where exists (select 1 from webhook_deliveries d where d.state = 'pending' and d.next_at <= ?1)
  and w.enabled = 1 and exists (
    select 1 from webhook_deliveries d where d.webhook_id = w.id and d.state = 'pending' and d.next_at <= ?1)
order by random() limit ?2;

-- due: The earliest event that is due for a webhook that is on.
select d.id, d.attempts, e.id, e.type, e.tenant_id, e.project_id, e.at, e.fields,
  w.id, w.tenant_id, w.project_id, w.url, w.types, w.secret_sealed, w.earlier_sealed, w.earlier_until, w.enabled,
  w.disabled_reason, w.created_at
from webhook_deliveries d join events e on e.seq = d.seq join webhooks w on w.id = d.webhook_id
where w.enabled = 1 and d.id = (
  select id from webhook_deliveries indexed by deliveries_in_order
  where webhook_id = ?1 and state = 'pending' and next_at <= ?2 order by seq limit 1);

-- has_pending: Whether anything is to be delivered.
select exists (select 1 from webhook_deliveries where state = 'pending');

-- delivered: It arrived.
update webhook_deliveries
set state = 'delivered', attempts = attempts + 1, last_at = ?2, last_status = ?3, last_error = null where id = ?1;

-- failed: It did not; without a next time it is dead.
update webhook_deliveries
set state = iif(?5 is null, 'dead', 'pending'), attempts = attempts + 1, last_at = ?2, last_status = ?3,
  last_error = ?4, next_at = coalesce(?5, next_at) where id = ?1;

-- turn_off: The receiver is no more.
update webhooks set enabled = 0, disabled_reason = 'gone' where id = ?;

-- bury: What was pending for a webhook whose receiver is no more.
update webhook_deliveries set state = 'dead', last_error = 'the receiver is gone' where webhook_id = ? and state = 'pending';

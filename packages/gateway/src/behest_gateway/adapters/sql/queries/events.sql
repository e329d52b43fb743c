-- add_event: An event; a trigger writes its deliveries. One that is there already is left as it is.
insert into events (id, type, tenant_id, project_id, at, fields) values (?, ?, ?, ?, ?, ?) on conflict (id) do nothing;

-- newest: The place of the newest event that there ever was.
select coalesce((select seq from sqlite_sequence where name = 'events'), 0);

-- all_events: Everything after a place, in order. ?2 is null.
select seq, id, type, tenant_id, project_id, at, fields from events
where seq > ?1 and ?2 is null order by seq limit ?3;

-- all_events_of_type: The same, of one type.
select seq, id, type, tenant_id, project_id, at, fields from events
where seq > ?1 and type = ?2 order by seq limit ?3;

-- events_of: What a project hears after a place: its own, its tenant's and the gateway's, in order. ?2 is null.
select * from (
  select * from (
    select seq, id, type, tenant_id, project_id, at, fields from events
    where audience = ?4 and seq > ?1 order by seq limit ?3)
  union all select * from (
    select seq, id, type, tenant_id, project_id, at, fields from events
    where audience = ?5 and seq > ?1 order by seq limit ?3)
  union all select * from (
    select seq, id, type, tenant_id, project_id, at, fields from events
    where audience = '' and seq > ?1 order by seq limit ?3)
) order by seq limit ?3;

-- events_of_type: The same, of one type.
select * from (
  select * from (
    select seq, id, type, tenant_id, project_id, at, fields from events
    where audience = ?4 and type = ?2 and seq > ?1 order by seq limit ?3)
  union all select * from (
    select seq, id, type, tenant_id, project_id, at, fields from events
    where audience = ?5 and type = ?2 and seq > ?1 order by seq limit ?3)
  union all select * from (
    select seq, id, type, tenant_id, project_id, at, fields from events
    where audience = '' and type = ?2 and seq > ?1 order by seq limit ?3)
) order by seq limit ?3;

-- crowded: Audiences with more events than are kept.
select audience from events group by audience having count(*) > ?;

-- kept_from: The oldest event of an audience that is kept.
select seq from events where audience = ?1 order by seq desc limit 1 offset ?2;

-- prune: Forget some old events, and their deliveries; one that is on its way to a webhook that is on stays.
delete from events where seq in (
  select e.seq from events e where e.at < ?1
    and not exists (
      select 1 from webhook_deliveries d join webhooks w on w.id = d.webhook_id
      where d.seq = e.seq and d.state = 'pending' and w.enabled = 1)
  order by e.at limit ?2) returning seq;

-- prune_crowd: Forget some events of an audience that are older than a place, and their deliveries.
delete from events where seq in (
  select e.seq from events e where e.audience = ?1 and e.seq < ?2
    and not exists (
      select 1 from webhook_deliveries d join webhooks w on w.id = d.webhook_id
      where d.seq = e.seq and d.state = 'pending' and w.enabled = 1)
  order by e.seq limit ?3) returning seq;

-- What is turned off now. `target` is the id of a tenant or project, the project's id for a user, a model's name, or ''.
-- `user_ref` is 0 but for a user. `tenant_id` says whose it is; null for `global` and `model`, which are an operator's.
create table switches (
  scope text not null check (scope in ('global', 'tenant', 'project', 'user', 'model')),
  target text not null,
  user_ref integer not null default 0,
  tenant_id text,
  reason text not null,
  set_by text not null,
  set_at integer not null,
  primary key (scope, target, user_ref)
) strict, without rowid;

-- Who turned what off and on again, and why. Rows are only ever added.
create table switch_changes (
  id integer primary key,
  turned text not null check (turned in ('on', 'off')),
  scope text not null,
  target text not null,
  user_ref integer not null default 0,
  tenant_id text,
  reason text not null,
  changed_by text not null,
  changed_at integer not null
) strict;
create trigger switch_changes_are_never_updated before update on switch_changes
begin
  select raise(abort, 'switch_changes is append-only');
end;
create trigger switch_changes_are_never_deleted before delete on switch_changes
begin
  select raise(abort, 'switch_changes is append-only');
end;

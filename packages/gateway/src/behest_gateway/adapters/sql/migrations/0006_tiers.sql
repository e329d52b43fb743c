-- What a project's tiers say: of a built-in one (`number`) what was overridden, of the project's own everything.
-- `overrides` is a JSON object of what is said alone. A deleted row stays; a name may be used again.
create table project_tiers (
  id text primary key,
  project_id text not null references projects (id),
  number integer check (number between 1 and 3),
  name text not null,
  overrides text not null,
  created_at integer not null,
  deleted_at integer
) strict, without rowid;
create unique index project_tiers_in_force on project_tiers (project_id, name) where deleted_at is null;

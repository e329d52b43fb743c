-- Stored conversations: threads, which last until they are deleted, and sessions, which a day without a message ends.
-- `name` is the caller's id of it; the number of one that was deleted is never used again. `title_sealed` and `sealed`
-- say whether title and content are envelopes of the vault. `tier` is what its user had last, for its retention.
create table threads (
  id integer primary key autoincrement,
  project_id text not null references projects (id),
  user_ref integer not null references users (id) on delete cascade,
  kind text not null check (kind in ('thread', 'session')),
  name text not null,
  title blob,
  title_sealed integer not null default 0,
  tier text,
  next_position integer not null default 0,
  created_at integer not null,
  oldest_at integer not null,
  last_message_at integer not null,
  unique (project_id, user_ref, kind, name)
) strict;
create index threads_by_time on threads (project_id, user_ref, kind, last_message_at);
create index threads_by_age on threads (project_id, tier, oldest_at);
create index sessions_by_age on threads (last_message_at) where kind = 'session';

-- One message: `content` is its JSON object as it was sent or received. `finish_reason` is null for what a caller sent.
create table messages (
  id integer primary key,
  thread_id integer not null references threads (id) on delete cascade,
  position integer not null,
  content blob not null,
  sealed integer not null,
  finish_reason text,
  created_at integer not null,
  unique (thread_id, position)
) strict;

-- Erasing a person's uid keeps the sums of what they used, and erases what they said.
create trigger threads_of_the_erased after update of uid on users when new.uid is null
begin
  delete from threads where user_ref = new.id;
end;

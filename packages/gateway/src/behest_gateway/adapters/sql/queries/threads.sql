-- find: A user's conversation.
select t.id, t.last_message_at, t.next_position from users u join threads t
  on t.project_id = u.project_id and t.user_ref = u.id and t.kind = ?3 and t.name = ?4
where u.project_id = ?1 and u.uid = ?2

-- find_by_ref: The same, of a person's number.
select id, next_position from threads where project_id = ? and user_ref = ? and kind = ? and name = ?

-- last_messages: The newest messages of a conversation, newest first.
select position, content, sealed, finish_reason, created_at from messages
where thread_id = ? order by position desc limit ?

-- new_thread: Begin a conversation.
insert into threads (project_id, user_ref, kind, name, tier, created_at, oldest_at, last_message_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?6) returning id

-- drop_messages: Take away the messages from one place to another.
delete from messages where thread_id = ? and position between ? and ?

-- add_message: Keep a message.
insert into messages (thread_id, position, content, sealed, finish_reason, created_at) values (?, ?, ?, ?, ?, ?)

-- touch: A conversation got messages; its title is that of its first turn.
update threads set next_position = ?2, last_message_at = ?3, tier = ?4,
  title_sealed = case when title is null then ?6 else title_sealed end, title = coalesce(title, ?5)
where id = ?1

-- threads_of: A user's threads, newest first.
select t.id, t.name, t.title, t.title_sealed, t.created_at, t.last_message_at,
  (select count(*) from messages m where m.thread_id = t.id)
from users u join threads t on t.project_id = u.project_id and t.user_ref = u.id and t.kind = 'thread'
where u.project_id = ?1 and u.uid = ?2
order by t.last_message_at desc, t.id desc limit ?3

-- thread: One of them.
select t.id, t.name, t.title, t.title_sealed, t.created_at, t.last_message_at,
  (select count(*) from messages m where m.thread_id = t.id)
from users u join threads t on t.project_id = u.project_id and t.user_ref = u.id and t.kind = 'thread'
where u.project_id = ?1 and u.uid = ?2 and t.name = ?3

-- delete_thread: Forget a conversation, and its messages.
delete from threads where id = ?

-- groups: Whose conversations there are: projects, with the tiers of their users.
select distinct project_id, tier from threads

-- old_threads: Some conversations of a project and a tier with messages from before a time.
select id from threads where project_id = ?1 and tier is ?2 and oldest_at < ?3 limit ?4

-- forget_messages: Forget what a conversation has from before a time.
delete from messages where thread_id = ? and created_at < ?

-- mark_oldest: Note from when the oldest message is that a conversation still has, and return it.
update threads set oldest_at = (select min(created_at) from messages where thread_id = ?1) where id = ?1
  and exists (select 1 from messages where thread_id = ?1)
returning id

-- threads_of_deleted_projects: Some conversations of projects that are no more.
select t.id from projects p join threads t on t.project_id = p.id where p.status = 'deleted' limit ?

-- old_sessions: Some sessions whose last message is from before a time.
select id from threads where kind = 'session' and last_message_at < ? limit ?

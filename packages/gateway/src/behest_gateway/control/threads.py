"""Stored threads as their users see them, and how long they are kept."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from behest_gateway.core.clock import Clock, iso
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.snapshot import Directory
from behest_gateway.core.threads import SESSION_US, Stored

DEFAULT_THREADS = 100
MAX_THREADS = 1_000
DEFAULT_MESSAGES = 1_000
MAX_MESSAGES = 10_000

_DAY_US = 86_400_000_000


class ThreadSummary(Struct, frozen=True, kw_only=True):
    """A thread without its messages; times are microseconds since 1970."""

    id: str
    title: str | None
    created_at: int
    last_message_at: int
    messages_count: int


class ThreadReader(Protocol):
    """A user's threads. Another user's are not there."""

    async def threads(self, project_id: str, user_id: str, limit: int) -> list[ThreadSummary]:
        """The newest threads, newest first."""
        ...

    async def thread(self, project_id: str, user_id: str, thread_id: str) -> ThreadSummary | None:
        """One thread."""
        ...

    async def messages(self, project_id: str, user_id: str, thread_id: str, limit: int) -> list[Stored] | None:
        """The newest messages of a thread, oldest first; None when there is no such thread."""
        ...

    async def delete(self, project_id: str, user_id: str, thread_id: str) -> bool:
        """Forget a thread and its messages; False when there is none."""
        ...


class ThreadPruner(Protocol):
    """Forgets what is old."""

    async def groups(self) -> list[tuple[str, str | None]]:
        """Whose conversations there are: projects, with the tiers of their users."""
        ...

    async def forget(self, project_id: str, tier: str | None, before_us: int) -> int:
        """Forget the messages of a project's users of a tier from before a time; how many threads had any."""
        ...

    async def forget_deleted_projects(self) -> int:
        """Forget what projects had that are no more; how many conversations there were."""
        ...

    async def forget_sessions(self, before_us: int) -> int:
        """Forget sessions whose last message is from before a time; how many there were."""
        ...


def missing_thread() -> GatewayError:
    """The 404 of a thread that this user does not have."""
    return GatewayError("not_found", "This user has no such thread. A thread begins with its first answer.")


def limit_of(text: str | None, default: int, most: int) -> int:
    """Read how many are wanted.

    Raises:
        GatewayError: `validation_error`.

    >>> limit_of(None, 100, 1000), limit_of("7", 100, 1000)
    (100, 7)
    """
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise invalid(f"limit is a whole number from 1 to {most}.", "limit")
    return int(text)


def thread_json(thread: ThreadSummary) -> dict[str, Any]:
    """Show a thread as the published clients expect it."""
    return {
        "id": thread.id,
        "title": thread.title,
        "created_at": iso(thread.created_at),
        "last_message_at": iso(thread.last_message_at),
        "messages_count": thread.messages_count,
    }


def message_json(stored: Stored) -> dict[str, Any]:
    """Show a message: what was sent or received, why a provider stopped there, and when."""
    reason = {} if stored.finish_reason is None else {"finish_reason": stored.finish_reason}
    return {"role": None, "content": None, **stored.message, **reason, "created_at": iso(stored.created_at)}


async def prune(pruner: ThreadPruner, directory: Directory, clock: Clock) -> int:
    """Forget what projects and tiers keep no longer, sessions that are over, and what projects had that are no more.

    Returns:
        How many conversations had any of it.
    """
    now = clock.now_us()
    gone = await pruner.forget_deleted_projects() + await pruner.forget_sessions(now - SESSION_US)
    for project_id, tier in await pruner.groups():
        project = directory.project(project_id)
        days = project.policy_for(tier).settings.retention_days if project is not None else 0
        if days:
            gone += await pruner.forget(project_id, tier, now - days * _DAY_US)
    return gone

"""What the ledger shows for a budget that is just made: what its window has seen, by subject."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

from collections.abc import Mapping

import apsw

from behest_gateway.core.budgets import Budget
from behest_gateway.core.windows import counts_from, slice_ends, window_at

_CHARGED = {
    "usd": "sum(cost_nano)",
    "tokens": "sum(charged_tokens)",
    "requests": "sum(state in ('settled', 'estimated', 'unconfirmed'))",
}
_SUBJECT = {
    "each_user": "cast(user_ref as text)",
    "each_session": "user_ref || '/' || coalesce(session_id, '')",
    "each_thread": "user_ref || '/' || coalesce(thread_id, '')",
    "each_key": "coalesce(api_key_id, '')",
}
_NAMED = {"user": "user_ref", "key": "api_key_id", "model": "model"}


def spent_before(
    connection: apsw.Connection, budget: Budget, users: Mapping[tuple[str, str], int], now_us: int
) -> list[tuple[str, str, int]]:
    """Add up what a budget would have counted in its window of now: subject, window's id, amount."""
    window = budget.window_at(now_us)
    if window.resets_at is None:
        return []
    step = budget.hours * 60_000_000 if budget.window == "rolling" else 0
    starts_at = window.starts_at
    if step:
        oldest = counts_from("rolling", "UTC", now_us, budget.hours)
        starts_at = slice_ends(oldest, budget.hours) - (window.resets_at - window.starts_at)
    whose = (
        "project_id in (select id from projects where tenant_id = ?)" if budget.project_id is None else "project_id = ?"
    )
    given: list[object] = [budget.project_id or budget.tenant_id]
    if budget.scope in _NAMED:
        whose += f" and {_NAMED[budget.scope]} = ?"
        is_user = budget.scope == "user"
        given.append(users.get((budget.project_id or "", budget.subject or "")) if is_user else budget.subject)
    slice_of = f"started_at / {step}" if step else "0"
    rows = connection.execute(
        f"select {_SUBJECT.get(budget.scope, repr(''))}, {slice_of}, {_CHARGED[budget.unit]} from ledger "  # noqa: S608
        f"where {whose} and attempt > 0 and started_at >= ? and started_at < ? group by 1, 2",
        (*given, starts_at, window.resets_at),
    )
    return [
        (subject, window_at("rolling", "UTC", index * step, budget.hours).id if step else window.id, amount)
        for subject, index, amount in rows
        if amount
    ]

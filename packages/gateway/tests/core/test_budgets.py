"""What a budget is about, and which of its counters a call belongs to."""

from __future__ import annotations

from typing import Any

import pytest
from behest_gateway.core.budgets import Budget, BudgetSet, quota, quota_of
from msgspec import Struct


class Caught(Struct, frozen=True, kw_only=True):
    """A call, as budgets look at it."""

    user_id: str = "ada"
    api_key_id: str | None = "k1"
    session_id: str | None = "s1"
    thread_id: str | None = "t1"


def _budget(**more: Any) -> Budget:
    return Budget(**{"id": "b", "project_id": "p", "scope": "project", "window": "day", "limit": 1, **more})


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("tenant", ""),
        ("project", ""),
        ("user", ""),
        ("key", ""),
        ("model", ""),
        ("each_user", "7"),
        ("each_session", "7/s1"),
        ("each_thread", "7/t1"),
        ("each_key", "k1"),
    ],
)
def test_a_call_counts_in_the_counter_of_its_scope(scope: Any, subject: str) -> None:
    assert _budget(scope=scope).subject_of(7, "s1", "t1", "k1") == subject


def test_calls_of_a_user_without_a_session_or_a_thread_count_together() -> None:
    assert _budget(scope="each_session").subject_of(7, None, None, None) == "7/"
    assert _budget(scope="each_thread").subject_of(7, None, None, None) == "7/"
    assert _budget(scope="each_key").subject_of(7, None, None, None) == ""


def test_only_the_named_budgets_of_a_call_apply_to_it() -> None:
    common = [_budget(id=scope, scope=scope) for scope in ("tenant", "project", "each_user", "each_session")]
    named = [
        _budget(id=f"{scope} {subject}", scope=scope, subject=subject)
        for scope, subject in [("user", "ada"), ("user", "bob"), ("key", "k1"), ("key", "k2"), ("model", "m")]
    ]
    budgets = BudgetSet((*common, *named))

    ids = [budget.id for budget in budgets.of(Caught(), "m")]
    assert ids == ["tenant", "project", "each_user", "each_session", "user ada", "key k1", "model m"]
    without = Caught(user_id="eve", api_key_id=None)
    assert [budget.id for budget in budgets.of(without, "n")] == ids[:4]


@pytest.mark.parametrize(
    ("unit", "mode", "needed"),
    [("usd", "enforce", True), ("tokens", "enforce", True), ("requests", "enforce", False), ("usd", "shadow", False)],
)
def test_only_what_is_refused_by_cost_or_tokens_needs_a_bound(unit: Any, mode: Any, needed: bool) -> None:
    assert _budget(unit=unit, mode=mode).needs_a_bound is needed


def test_a_quota_is_known_by_its_id() -> None:
    plan, tier = quota("plan", "t", "tokens", "month", 5), quota("tier", "p", "requests", "day", 100)

    for made in (plan, tier):
        read = quota_of(made.id)
        assert read is not None
        assert (read.scope, read.unit, read.window, read.source) == (made.scope, made.unit, made.window, made.source)
    assert [quota_of(text) for text in ("", "01a2-b", "tier:p:usd:day", "tier:p:tokens", "user:p:tokens:day")] == [
        None
    ] * 5

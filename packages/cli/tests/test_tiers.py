"""Tiers from the command line: listed, overridden, made and taken away."""

from __future__ import annotations

from typing import Any

import pytest
from behest_cli.commands.tiers import override

from .calling import Behest


def test_a_tier_is_made_used_changed_and_removed(operator: Behest, server: Behest, project: dict[str, Any]) -> None:
    slug = project["slug"]
    words = [
        "--rpm", "20", "--requests-per-day", "2", "--tokens-per-day", "70000", "--tokens-per-month", "900000",
        "--model", "gpt-4o", "--system-prompt", "Be brief.", "-o", "memory_window=20", "-o", 'pii_entities=["US_SSN"]',
    ]  # fmt: skip
    overrides = {
        "rpm_limit": 20, "requests_per_day": 2, "tokens_per_day": 70_000, "tokens_per_month": 900_000,
        "provider_model": "gpt-4o", "system_prompt": "Be brief.", "memory_window": 20, "pii_entities": ["US_SSN"],
    }  # fmt: skip

    made = operator("tiers", "set", "team", "-p", slug, *words, "--json").json
    changed = operator("tiers", "set", "TEAM", "-p", slug, "--rpm", "21", "--unset", "memory_window", "--json").json
    listed = operator("tiers", "list", "-p", slug).out
    shown = operator("tiers", "show", "team", "-p", slug).out
    token = server("token", "mint", "--user", "tess", "--tier", "team").out
    removed = operator("tiers", "remove", "team", "-p", slug)

    assert made["overrides"] == overrides
    assert changed["id"] == made["id"]
    assert changed["overrides"] == {**{k: v for k, v in overrides.items() if k != "memory_window"}, "rpm_limit": 21}
    assert [name in listed for name in ("free", "50000", "20000000", "team", "70000")] == [True] * 5
    assert [text in shown for text in ("gpt-4o", "Be brief.", "tokens per month", "900000", "US_SSN")] == [True] * 5
    assert token
    assert removed.out == "Removed team.\n"
    assert [tier["name"] for tier in operator("tiers", "list", "-p", slug, "--json").json["data"]] == [
        "free", "pro", "max",
    ]  # fmt: skip


def test_a_built_in_tier_is_overridden_by_its_number_and_goes_back(operator: Behest, project: dict[str, Any]) -> None:
    slug = project["slug"]

    tuned = operator("tiers", "set", "1", "-p", slug, "--tokens-per-day", "60000")
    overridden = operator("tiers", "show", "free", "-p", slug, "--json").json
    operator("tiers", "remove", "free", "-p", slug)

    assert "60000" in tuned.out
    assert (overridden["limits"]["tokens_per_day"], overridden["overrides"]) == (60_000, {"tokens_per_day": 60_000})
    assert operator("tiers", "show", "1", "-p", slug, "--json").json["limits"]["tokens_per_day"] == 50_000


def test_what_cannot_be_is_refused_with_its_name(operator: Behest, project: dict[str, Any]) -> None:
    slug = project["slug"]

    assert "pii_mode" in operator("tiers", "set", "free", "-p", slug, "-o", "pii_mode=enforce", code=1).err
    assert "rpm_limt" in operator("tiers", "set", "free", "-p", slug, "-o", "rpm_limt=3", code=1).err
    assert "--override" in operator("tiers", "set", "free", "-p", slug, "-o", "rpm", code=2).err
    assert "no tier of this" in operator("tiers", "show", "gold", "-p", slug, code=1).err
    operator("tiers", "set", "free", "-p", slug, "--rpm", "0", code=2)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("memory_enabled=true", ("memory_enabled", True)),
        ("system_prompt=a=b", ("system_prompt", "a=b")),
        ("system_prompt=", ("system_prompt", "")),
        ('sentinel_blocklist=["x"]', ("sentinel_blocklist", ["x"])),
    ],
)
def test_the_value_of_an_override_is_json_or_text(text: str, read: tuple[str, Any]) -> None:
    assert override(text) == read

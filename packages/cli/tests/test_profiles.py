"""What is saved once and used when neither option nor environment says."""

from __future__ import annotations

import json
import stat

from behest_cli import profiles
from behest_cli.dev import Ready

from .calling import Behest


def test_a_saved_profile_is_used_until_something_else_is_said(
    behest: Behest,
    ready: Ready,
) -> None:
    behest("profile", "save", "--base-url", ready["base_url"], "--admin-token", ready["admin_token"])
    behest("profile", "save", "--project", ready["project_id"], "--key", ready["api_key"])

    assert behest("key", "list", "--json").json["data"]
    assert "Say hello" in behest("chat", "Say hello").out
    assert "Not an address" in behest("key", "list", "--base-url", "nonsense", code=2).err
    assert "Not an address" in behest("key", "list", code=2, BEHEST_BASE_URL="nonsense").err


def test_a_profile_is_for_its_owner_only_and_shows_no_secret_unasked(behest: Behest) -> None:
    secret = "operator-secret-0123456789"
    behest("profile", "save", "--base-url", "http://localhost:8080", BEHEST_ADMIN_TOKEN=secret)
    shown = behest("profile", "show")
    revealed = behest("profile", "show", "--reveal", "--json").json

    assert stat.S_IMODE(profiles.path().stat().st_mode) == 0o600
    assert (secret in shown.out, "…6789" in shown.out) == (False, True)
    assert revealed == {
        "base_url": "http://localhost:8080", "admin_token": secret, "tenant": None, "project": None, "key": None,
    }  # fmt: skip


def test_profiles_have_names(behest: Behest) -> None:
    behest("profile", "save", "--base-url", "http://a.example")
    behest("profile", "save", "--base-url", "http://b.example", "--profile", "other")

    assert behest("profile", "show", "--json").json["base_url"] == "http://a.example"
    assert behest("profile", "show", "--json", BEHEST_PROFILE="other").json["base_url"] == "http://b.example"


def test_saving_nothing_is_refused(behest: Behest) -> None:
    assert "nothing to save" in behest("profile", "save", code=2).err


def test_a_damaged_file_is_named_and_left_alone(behest: Behest) -> None:
    for damage in ("{", "[]", json.dumps({"default": 7})):
        profiles.write_private(profiles.path(), damage)
        said = behest("profile", "save", "--key", "k", code=1)
        assert str(profiles.path()) in said.err
        assert profiles.path().read_text() == damage

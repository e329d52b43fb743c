"""Settings are read strictly and shown whole."""

from __future__ import annotations

from typing import Any

import pytest
from behest_gateway.control.settings import read_settings, settings_json
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.snapshot import ProjectSettings

DEFAULTS = ProjectSettings()


def test_what_is_given_is_laid_over_what_was_there() -> None:
    base = ProjectSettings(rpm_limit=5, system_prompt="Be brief.")

    read = read_settings({"provider_model": "gpt-4o", "allowed_models": ["a", "b"]}, base)

    assert read == ProjectSettings(
        provider_model="gpt-4o", allowed_models=("a", "b"), rpm_limit=5, system_prompt="Be brief."
    )


def test_null_and_empty_take_a_setting_away() -> None:
    base = ProjectSettings(
        allowed_models=("a",), allowed_origins=("https://a.example",), user_rpm_limit=5, tpm_limit=9, system_prompt="x"
    )

    given: dict[str, Any] = {
        "allowed_models": None, "allowed_origins": [], "user_rpm_limit": None, "tpm_limit": None, "system_prompt": ""
    }  # fmt: skip

    assert read_settings(given, base) == DEFAULTS


def test_no_model_besides_the_projects_own_can_be_allowed() -> None:
    assert read_settings({"allowed_models": []}, DEFAULTS).allowed_models == ()


def test_settings_are_shown_as_json_and_read_back() -> None:
    settings = ProjectSettings(allowed_models=("a",), allowed_origins=("https://a.example",))

    shown = settings_json(settings)

    assert shown == {
        "provider_model": "gpt-4o-mini",
        "allowed_models": ["a"],
        "allowed_origins": ["https://a.example"],
        "rpm_limit": 60,
        "user_rpm_limit": None,
        "key_rpm_limit": None,
        "tpm_limit": None,
        "user_tpm_limit": None,
        "key_tpm_limit": None,
        "max_concurrent": None,
        "user_max_concurrent": None,
        "key_max_concurrent": None,
        "user_requests_per_day": None,
        "user_tokens_per_day": None,
        "user_tokens_per_month": None,
        "max_output_tokens": 4096,
        "min_output_tokens": 16,
        "system_prompt": None,
        "memory_enabled": True,
        "memory_window": 20,
        "retention_days": 0,
        "store_tool_calls": True,
        "session_memory": False,
    }
    assert read_settings(shown, DEFAULTS) == settings


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "http://localhost:5173",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "https://xn--bcher-kva.example",
        "https://my-app.lovable.app",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
        "http://app.example.com:443",
    ],
)
def test_an_origin_is_kept_as_a_browser_sends_it(origin: str) -> None:
    assert read_settings({"allowed_origins": [origin, origin]}, DEFAULTS).allowed_origins == (origin,)


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        ("*", "wildcards"),
        ("https://*.example.com", "wildcards"),
        ("https://app.example.com/", "trailing slash"),
        ("https://App.example.com", "lower case"),
        ("HTTPS://app.example.com", "lower case"),
        ("https://app.example.com:443", "leave :443 out"),
        ("http://app.example.com:80", "leave :80 out"),
        ("app.example.com", "scheme://host"),
        ("null", "scheme://host"),
        ("", "scheme://host"),
        ("https://", "trailing slash"),
        ("https://app.example.com/path", "scheme://host"),
        ("https://app.example.com?x", "scheme://host"),
        ("https://user@app.example.com", "scheme://host"),
        ("https://app.example.com:0", "scheme://host"),
        ("https://app.example.com:65536", "scheme://host"),
        ("https://bücher.example", "scheme://host"),
        ("https://a b.example", "scheme://host"),
        ("https://app.example.com\n", "scheme://host"),
        (7, "scheme://host"),
    ],
)
def test_an_origin_that_can_never_match_is_refused_with_the_reason(origin: object, hint: str) -> None:
    with pytest.raises(GatewayError, match=hint) as caught:
        read_settings({"allowed_origins": [origin]}, DEFAULTS)

    assert (caught.value.status, caught.value.param) == (400, "allowed_origins")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"rpm_limt": 5}, "rpm_limt"),
        ({"provider_model": ""}, "provider_model"),
        ({"provider_model": "gpt 4"}, "provider_model"),
        ({"provider_model": "x" * 201}, "provider_model"),
        ({"provider_model": None}, "provider_model"),
        ({"allowed_models": "gpt-4o"}, "allowed_models"),
        ({"allowed_models": [1]}, "allowed_models"),
        ({"allowed_models": ["a"] * 201}, "allowed_models"),
        ({"allowed_origins": None}, "allowed_origins"),
        ({"rpm_limit": 0}, "rpm_limit"),
        ({"rpm_limit": 1_000_001}, "rpm_limit"),
        ({"rpm_limit": True}, "rpm_limit"),
        ({"rpm_limit": "60"}, "rpm_limit"),
        ({"rpm_limit": 60.0}, "rpm_limit"),
        ({"rpm_limit": None}, "rpm_limit"),
        ({"user_rpm_limit": 0}, "user_rpm_limit"),
        ({"key_rpm_limit": 1_000_001}, "key_rpm_limit"),
        ({"tpm_limit": 0}, "tpm_limit"),
        ({"user_tpm_limit": 1_000_000_001}, "user_tpm_limit"),
        ({"key_tpm_limit": "1000"}, "key_tpm_limit"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"user_max_concurrent": True}, "user_max_concurrent"),
        ({"key_max_concurrent": 100_001}, "key_max_concurrent"),
        ({"user_requests_per_day": 0}, "user_requests_per_day"),
        ({"user_tokens_per_day": 10**15 + 1}, "user_tokens_per_day"),
        ({"user_tokens_per_month": "many"}, "user_tokens_per_month"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1_000_001}, "max_output_tokens"),
        ({"min_output_tokens": 0}, "min_output_tokens"),
        ({"min_output_tokens": 100, "max_output_tokens": 99}, "min_output_tokens"),
        ({"max_output_tokens": 15}, "min_output_tokens"),
        ({"system_prompt": 5}, "system_prompt"),
        ({"memory_enabled": 1}, "memory_enabled"),
        ({"memory_window": -1}, "memory_window"),
        ({"memory_window": 1_001}, "memory_window"),
        ({"retention_days": 36_501}, "retention_days"),
        ({"store_tool_calls": "yes"}, "store_tool_calls"),
        ({"session_memory": None}, "session_memory"),
        ({"system_prompt": "x" * 65_537}, "system_prompt"),
        ({"system_prompt": "\ud800"}, "system_prompt"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(given: dict[str, Any], name: str) -> None:
    with pytest.raises(GatewayError, match=name) as caught:
        read_settings(given, DEFAULTS)

    assert (caught.value.status, caught.value.param) == (400, name)

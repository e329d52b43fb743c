"""What may be minted, as values in and values out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from behest_gateway.core.errors import GatewayError
from behest_gateway.mint.rules import MintRequest, credential_problem, granted_role, read_body


def test_a_body_needs_a_user_id_alone() -> None:
    assert read_body(b'{"user_id":"u_1"}') == MintRequest(user_id="u_1")


def test_the_body_of_the_published_sdk_is_read() -> None:
    body = b'{"user_id":"u_1","role":"user","ttl":900,"session_id":"0b8f","tier":2}'

    assert read_body(body) == MintRequest(user_id="u_1", role="user", ttl=900, session_id="0b8f", tier=2)


def test_fields_that_are_not_known_and_nulls_are_passed_over() -> None:
    body = {"user_id": "u_1", "role": None, "ttl": None, "tier": None, "session_id": None, "sessionId": 5}

    assert read_body(body) == MintRequest(user_id="u_1")


@pytest.mark.parametrize("user_id", ["default", "anonymous", "u 1", "ü", "a@b.c", "x" * 255])
def test_a_user_id_is_taken_as_it_is(user_id: str) -> None:
    assert read_body({"user_id": user_id}).user_id == user_id


@pytest.mark.parametrize("tier", [1, 2, 3, "free", "pro", "max", "Pro", " free "])
def test_a_tier_is_a_number_or_a_name_and_stays_as_it_was_given(tier: object) -> None:
    assert read_body({"user_id": "u", "tier": tier}).tier == tier


def test_a_tier_of_the_projects_own_is_known_by_its_name_in_any_case() -> None:
    tiers = ("1", "free", "team")

    assert read_body({"user_id": "u", "tier": " TEAM "}, tiers).tier == " TEAM "
    with pytest.raises(GatewayError, match="tier is one of 1 or free, team") as caught:
        read_body({"user_id": "u", "tier": "pro"}, tiers)
    assert caught.value.param == "tier"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"user_id": None}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "  "}, "user_id"),
        ({"user_id": 7}, "user_id"),
        ({"user_id": "x" * 256}, "user_id"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"user_id": "admin"}, "user_id"),
        ({"user_id": "SYSTEM"}, "user_id"),
        ({"user_id": "dashboard-service"}, "user_id"),
        ({"ttl": 59}, "ttl"),
        ({"ttl": 86_401}, "ttl"),
        ({"ttl": True}, "ttl"),
        ({"ttl": 900.0}, "ttl"),
        ({"ttl": "900"}, "ttl"),
        ({"role": "root"}, "role"),
        ({"role": 1}, "role"),
        ({"role": ""}, "role"),
        ({"tier": 0}, "tier"),
        ({"tier": 4}, "tier"),
        ({"tier": True}, "tier"),
        ({"tier": 2.0}, "tier"),
        ({"tier": "gold"}, "tier"),
        ({"tier": ["pro"]}, "tier"),
        ({"session_id": 1}, "session_id"),
        ({"session_id": "x" * 256}, "session_id"),
        ({"session_id": "a\r\nb"}, "session_id"),
    ],
)
def test_a_wrong_field_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_body({"user_id": "u_1", **change})

    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "validation_error", field)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"user_id=u_1", b"\xff\xfe", b"[" * 10_000, b"null", b"[]", b'"u_1"', b'{"user_id":"\\ud800"}'],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        read_body(body)

    assert caught.value.status == 400


def test_a_body_has_a_largest_size() -> None:
    with pytest.raises(GatewayError) as caught:
        read_body(json.dumps({"user_id": "u", "note": "x" * 17_000}).encode())

    assert (caught.value.status, caught.value.code) == (413, "payload_too_large")


@pytest.mark.parametrize(
    ("asked", "of_key", "granted"),
    [
        (None, "user", "user"),
        (None, "admin", "admin"),
        ("user", "admin", "user"),
        ("admin", "admin", "admin"),
        ("user", "user", "user"),
    ],
)
def test_a_role_is_that_of_the_key_or_lower(asked: str | None, of_key: str, granted: str) -> None:
    assert granted_role(asked, of_key) == granted


@pytest.mark.parametrize(
    ("asked", "of_key"), [("admin", "user"), ("dashboard-service", "user"), ("dashboard-service", "admin")]
)
def test_a_role_above_that_of_the_key_is_forbidden(asked: str, of_key: str) -> None:
    with pytest.raises(GatewayError) as caught:
        granted_role(asked, of_key)

    assert (caught.value.status, caught.value.code, caught.value.param) == (403, "forbidden", "role")


@pytest.mark.parametrize(
    ("credential", "hint"),
    [
        (None, "Send the project's API key"),
        ("", "Send the project's API key"),
        ("eyJhbGciOi.eyJ0aWQi.c2ln", "not a user's token"),
        ("bh_live_0123", "starts with behest_sk_live_"),
        ("behest_sk_live_" + "A" * 32, "starts with behest_sk_live_"),
        ("behest_sk_live_" + "a" * 31, "starts with behest_sk_live_"),
        ("behest_sk_live_" + "a" * 32 + "\n", "starts with behest_sk_live_"),
    ],
)
def test_a_credential_that_cannot_be_a_key_is_told_what_one_looks_like(credential: str | None, hint: str) -> None:
    assert hint in (credential_problem(credential) or "")

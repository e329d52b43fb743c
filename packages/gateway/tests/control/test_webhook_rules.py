"""Signatures that the official library takes, the schedule of retries, and addresses that are refused."""

from __future__ import annotations

import time

import pytest
from behest_gateway.control.webhook_rules import (
    RETRY_SECONDS,
    headers_of,
    new_secret,
    read_types,
    read_url,
    retry_at,
)
from behest_gateway.core.errors import GatewayError
from standardwebhooks import Webhook, WebhookVerificationError

BODY = b'{"id":"e1","type":"key_revoked"}'


def test_the_official_library_takes_what_is_signed_and_nothing_that_was_changed() -> None:
    secret, now = new_secret(), int(time.time())
    headers = dict(headers_of([secret], "e1", now, BODY))

    assert Webhook(secret).verify(BODY, headers) == {"id": "e1", "type": "key_revoked"}
    changed = [
        (BODY + b" ", headers, secret),
        (BODY, {**headers, "webhook-id": "e2"}, secret),
        (BODY, {**headers, "webhook-timestamp": str(now + 1)}, secret),
        (BODY, headers, new_secret()),
    ]
    for body, sent, with_secret in changed:
        with pytest.raises(WebhookVerificationError):
            Webhook(with_secret).verify(body, sent)


def test_while_two_secrets_sign_the_official_library_takes_either() -> None:
    new, old = new_secret(), new_secret()
    headers = dict(headers_of([new, old], "e1", int(time.time()), BODY))

    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (new, old):
        assert Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


def test_secrets_are_long_and_never_the_same() -> None:
    made = {new_secret() for _ in range(100)}

    assert len(made) == 100
    assert {len(secret) for secret in made} == {len("whsec_") + 44}


@pytest.mark.parametrize("luck", [0.0, 0.5, 1.0])
def test_a_delivery_is_tried_for_more_than_a_day_with_growing_waits_and_then_is_dead(luck: float) -> None:
    waits = [retry_at(attempts, 0, luck) for attempts in range(1, len(RETRY_SECONDS) + 1)]

    assert waits == [int(s * (1 + 0.2 * luck) * 1_000_000) for s in (5, 300, 1800, 7200, 18000, 36000, 50400)]
    assert sum(RETRY_SECONDS) > 24 * 3600
    assert retry_at(len(RETRY_SECONDS) + 1, 0, luck) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "ftp://example.com",
        "http://example.com/hook",
        "https://",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://example.com/é",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:x/",
        "https://exa\\mple.com/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://[::1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1:8443/hook",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_an_address_that_is_none_or_not_public_is_refused_by_name(url: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_url(url, allow_private=False)

    assert (caught.value.code, caught.value.param) == ("validation_error", "url")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    ["https://example.com", "https://example.com/a?b=c&d", "https://example.com:8443/", "https://[2606:4700::1]/"],
)
def test_a_public_https_address_is_taken(url: str) -> None:
    assert read_url(url, allow_private=False) == url


def test_private_addresses_without_tls_are_taken_where_that_is_allowed() -> None:
    assert read_url("http://127.0.0.1:9/hook", allow_private=True) == "http://127.0.0.1:9/hook"
    with pytest.raises(GatewayError):
        read_url("ftp://127.0.0.1/hook", allow_private=True)


def test_types_come_out_once_and_in_order_and_an_unknown_one_is_refused() -> None:
    assert read_types(["key_revoked", "budget_alert", "key_revoked"]) == ("budget_alert", "key_revoked")
    assert read_types([]) == ()
    for name in ("webhook_test", "galaxy", ""):
        with pytest.raises(GatewayError):
            read_types([name])

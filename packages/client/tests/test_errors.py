"""Refusals become errors that say what to do."""

from __future__ import annotations

import copy
import pickle

import pytest
from behest import (
    BehestAuthError,
    BehestBadRequestError,
    BehestConfigError,
    BehestError,
    BehestQuotaError,
    BehestRateLimitError,
    BehestServerError,
    classify_http_error,
)
from behest_protocol.errors import KINDS, envelope, flat_envelope


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, BehestBadRequestError, "validation_error"),
        (401, BehestAuthError, "invalid_token"),
        (402, BehestQuotaError, "quota_exceeded"),
        (403, BehestAuthError, "forbidden"),
        (404, BehestError, None),
        (409, BehestError, None),
        (418, BehestError, None),
        (422, BehestBadRequestError, "validation_error"),
        (429, BehestRateLimitError, "rate_limited"),
        (451, BehestError, None),
        (500, BehestServerError, "server_error"),
        (502, BehestServerError, "server_error"),
        (503, BehestServerError, "server_error"),
    ],
)
def test_a_status_alone_tells_the_class_the_code_and_a_sentence(
    status: int, kind: type[BehestError], code: str | None
) -> None:
    error = classify_http_error(status)

    assert (type(error), error.status, error.code) == (kind, status, code)
    assert str(error).endswith(".")


@pytest.mark.parametrize("code", KINDS)
def test_every_code_of_the_gateway_is_kept(code: str) -> None:
    body = envelope(code, "What happened.", trace_id="tr_9", details={"limit_usd": 5})

    error = classify_http_error(KINDS[code].status, body=body)

    assert (error.code, str(error), error.status) == (code, "What happened.", KINDS[code].status)
    assert (error.trace_id, error.details, error.raw) == ("tr_9", {"limit_usd": 5}, body)


def test_the_flat_envelope_is_understood() -> None:
    error = classify_http_error(409, body=flat_envelope("conflict", "No draft to discard.", trace_id="tr_9"))

    assert (str(error), error.code, error.trace_id) == ("No draft to discard.", "CONFLICT", "tr_9")


@pytest.mark.parametrize("name", ["X-Trace-Id", "x-trace-id", "X-TRACE-ID"])
def test_headers_are_found_in_any_letter_case(name: str) -> None:
    assert classify_http_error(500, headers={name: "tr_1"}).trace_id == "tr_1"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("12", 12),
        (" 12 ", 12),
        ("1.5", None),
        ("-1", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_whole_seconds(value: str, seconds: int | None) -> None:
    assert classify_http_error(429, headers={"Retry-After": value}).retry_after == seconds


@pytest.mark.parametrize("body", [None, "<html>", [], 7, {}, {"error": None}, {"error": {"code": 7, "message": []}}])
def test_a_body_of_any_shape_still_makes_an_error(body: object) -> None:
    error = classify_http_error(502, body=body)

    assert (error.code, error.raw, error.details) == ("server_error", body, {})
    assert str(error)


def test_a_redirect_says_what_to_set() -> None:
    assert "BEHEST_BASE_URL" in str(classify_http_error(308))


def test_an_error_can_be_made_by_hand_with_its_usual_status() -> None:
    assert BehestQuotaError().status == 402
    assert BehestConfigError("x").code == "bad_key_format"
    assert BehestServerError("x", code="network_error").status == 500


def test_an_error_survives_copying_and_pickling() -> None:
    error = classify_http_error(429, headers={"Retry-After": "3", "X-Trace-Id": "tr_1"}, body={"message": "Slow down."})

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert repr(twin) == repr(error)
        assert twin.raw == error.raw

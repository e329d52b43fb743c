"""Whether a call is tried again, and after how long."""

from __future__ import annotations

import httpx
import pytest
from behest import classify_http_error
from behest._retry import RetryPolicy

TWICE = RetryPolicy(max_retries=2)


def _after(status: int, *, retries: int = 0, chance: float = 0.0, **headers: str) -> float | None:
    sent = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return TWICE.after_answer(classify_http_error(status, headers=sent), sent, retries=retries, chance=chance)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(status: int) -> None:
    assert _after(status) == 0.5


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 409, 413, 422, 451])
def test_a_refusal_that_a_retry_cannot_mend_is_not(status: int) -> None:
    assert _after(status) is None
    assert _after(status, X_Should_Retry="true", Retry_After="0") is None


def test_the_wait_doubles_and_chance_spreads_it() -> None:
    patient = RetryPolicy(max_retries=9)
    error = classify_http_error(500)

    waits = [patient.after_answer(error, {}, retries=retries, chance=0.0) for retries in range(9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    assert patient.after_answer(error, {}, retries=0, chance=1.0) == 0.375


def test_it_ends_after_the_retries_that_are_allowed() -> None:
    assert _after(500, retries=1) == 1.0
    assert _after(500, retries=2) is None


@pytest.mark.parametrize(("asked", "waited"), [("0", 0.0), ("7", 7.0), ("60", 60.0), ("61", None), ("soon", 0.5)])
def test_the_gateway_says_how_long(asked: str, waited: float | None) -> None:
    assert _after(429, Retry_After=asked) == waited


@pytest.mark.parametrize("said", ["false", "False", " false "])
def test_the_gateway_may_forbid_it(said: str) -> None:
    assert _after(503, X_Should_Retry=said, Retry_After="0") is None


def _silence(problem: httpx.HTTPError, *, repeatable: bool = False, retries: int = 0) -> float | None:
    return TWICE.after_silence(problem, repeatable=repeatable, retries=retries, chance=0.0)


@pytest.mark.parametrize(
    "problem",
    [
        httpx.ConnectError(""),
        httpx.ConnectTimeout(""),
        httpx.PoolTimeout(""),
        httpx.ReadError(""),
        httpx.WriteError(""),
        httpx.RemoteProtocolError(""),
    ],
)
def test_a_connection_that_broke_before_an_answer_is_tried_again(problem: httpx.HTTPError) -> None:
    assert _silence(problem) == 0.5
    assert _silence(problem, retries=2) is None


def test_a_silence_is_only_tried_again_when_that_costs_nothing() -> None:
    assert _silence(httpx.ReadTimeout("")) is None
    assert _silence(httpx.ReadTimeout(""), repeatable=True) == 0.5


@pytest.mark.parametrize("kind", [httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects])
def test_our_own_fault_is_not_tried_again(kind: type[httpx.RequestError]) -> None:
    assert _silence(kind(""), repeatable=True) is None

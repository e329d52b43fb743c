"""Keys are fetched once however many ask, seldom however much is forged, and outlive an outage of their issuer."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from behest_auth import Credential, InvalidCredentialError, UnavailableError, fetching
from behest_auth.verifying import Provider

from ..support.issuer import RSA_KEY, Issuer, public_jwk, usual_keys
from ..support.sign_ins import KINDS, Kind, rerouted

FETCHING = ["supabase", "clerk", "auth0", "oidc"]


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=FETCHING)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def verifier(kind: Kind, issuer: Issuer, clock: Clock) -> Provider:
    return kind.make(issuer, rerouted(issuer, monotonic=clock))


def pages_of(kind: Kind) -> int:
    """How many pages one fetch takes: an issuer that is discovered takes two."""
    return 2 if kind.name == "oidc" else 1


async def test_fifty_concurrent_cold_calls_fetch_once(kind: Kind, issuer: Issuer, verifier: Provider) -> None:
    issuer.gate.clear()
    credential = Credential(kind.token(issuer))
    checks = [asyncio.create_task(verifier.averify(credential)) for _ in range(50)]
    while not issuer.asked:
        await asyncio.sleep(0)
    issuer.gate.set()

    subjects = {identity.subject for identity in await asyncio.gather(*checks)}

    assert len(subjects) == 1
    assert issuer.fetches() == pages_of(kind)


async def test_fifty_threads_and_an_event_loop_share_one_fetch(kind: Kind, issuer: Issuer, verifier: Provider) -> None:
    issuer.gate.clear()
    credential = Credential(kind.token(issuer))
    started = threading.Barrier(51, timeout=30)

    def check() -> str:
        started.wait()
        return verifier.verify(credential).subject

    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(check) for _ in range(50)]
        await asyncio.to_thread(started.wait)
        mine = asyncio.create_task(verifier.averify(credential))
        while not issuer.asked:
            await asyncio.sleep(0)
        issuer.gate.set()
        subjects = {(await mine).subject, *[await asyncio.wrap_future(one) for one in waiting]}

    assert len(subjects) == 1
    assert issuer.fetches() == pages_of(kind)


async def test_two_verifiers_of_one_issuer_share_its_keys(kind: Kind, issuer: Issuer, clock: Clock) -> None:
    surroundings = rerouted(issuer, monotonic=clock)
    for _ in range(2):
        await kind.make(issuer, surroundings).averify(Credential(kind.token(issuer)))

    assert issuer.fetches() == pages_of(kind)


async def test_a_caller_who_gives_up_does_not_take_the_fetch_of_the_others_along(
    kind: Kind, issuer: Issuer, verifier: Provider
) -> None:
    issuer.gate.clear()
    credential = Credential(kind.token(issuer))
    first = asyncio.create_task(verifier.averify(credential))
    while not issuer.asked:
        await asyncio.sleep(0)
    others = [asyncio.create_task(verifier.averify(credential)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    issuer.gate.set()

    assert len({identity.subject for identity in await asyncio.gather(*others)}) == 1
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_two_hundred_unknown_keys_lead_to_one_fetch_in_a_cool_down(
    kind: Kind, issuer: Issuer, verifier: Provider, clock: Clock, blocking: bool
) -> None:
    await verifier.averify(Credential(kind.token(issuer)))
    clock.seconds += 31
    before = issuer.fetches()

    for number in range(200):
        credential = Credential(kind.token(issuer, header={"kid": f"forged-{number}"}))
        with pytest.raises(InvalidCredentialError, match="unknown_key"):
            verifier.verify(credential) if blocking else await verifier.averify(credential)

    assert issuer.fetches() - before == pages_of(kind)


async def test_forgeries_under_a_real_key_fetch_nothing_and_take_no_key_away(
    kind: Kind, issuer: Issuer, verifier: Provider, clock: Clock
) -> None:
    good = kind.token(issuer)
    await verifier.averify(Credential(good))
    clock.seconds += 31
    before = issuer.fetches()
    forged = f"{good.rpartition('.')[0]}.{'A' * len(good.rpartition('.')[2])}"

    for _ in range(50):
        with pytest.raises(InvalidCredentialError, match="bad_signature"):
            await verifier.averify(Credential(forged))
    await verifier.averify(Credential(good))

    assert issuer.fetches() == before


async def test_a_new_key_is_taken_after_the_cool_down_and_a_withdrawn_one_refused_after_ten_minutes(
    kind: Kind, issuer: Issuer, verifier: Provider, clock: Clock
) -> None:
    new = "ec-2" if kind.algorithm == "ES256" else "rsa-2"
    old_token, new_token = Credential(kind.token(issuer)), Credential(kind.token(issuer, key=new))
    await verifier.averify(old_token)
    issuer.keys = [public_jwk(new)]

    with pytest.raises(InvalidCredentialError, match="unknown_key"):
        await verifier.averify(new_token)
    clock.seconds += 30
    await verifier.averify(new_token)
    with pytest.raises(InvalidCredentialError, match="unknown_key"):
        await verifier.averify(old_token)

    issuer.keys = usual_keys()
    clock.seconds += 599
    await verifier.averify(new_token)
    clock.seconds += 1
    with pytest.raises(InvalidCredentialError, match="unknown_key"):
        await verifier.averify(new_token)


FAILURES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "an error": (500, {}, b""),
    "a redirect": (302, {"location": "/elsewhere"}, b""),
    "an empty set": (200, {}, b'{"keys": []}'),
    "no set": (200, {}, b'{"error": "x"}'),
    "a page for people": (200, {}, b"<html></html>"),
    "10 MB": (200, {}, json.dumps({"keys": [public_jwk(RSA_KEY)], "pad": "x" * 10_000_000}).encode()),
    "something packed": (200, {"content-encoding": "gzip"}, b"\x1f\x8b not json"),
    "less than it says": (200, {"content-length": "999999"}, b"{"),
    "only a secret": (200, {}, b'{"keys": [{"kty": "oct", "kid": "k", "k": "c2VjcmV0"}]}'),
    "deep nesting": (200, {}, b"[" * 100_000),
    "a list": (200, {}, b"[1]"),
    "keys that are none": (200, {}, b'{"keys": [1, {"kid": "a"}, {"kty": "RSA", "kid": "b", "n": "", "e": ""}]}'),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_without_keys_nobody_can_say_and_with_old_ones_it_goes_on_for_an_hour(
    issuer: Issuer, clock: Clock, failure: str
) -> None:
    kind = KINDS["auth0"]
    credential = Credential(kind.token(issuer))
    issuer.override = FAILURES[failure]
    cold = kind.make(issuer, rerouted(issuer, monotonic=clock))
    for _ in range(20):
        with pytest.raises(UnavailableError, match="keys_unavailable"):
            await cold.averify(credential)
    assert issuer.fetches() == 1

    issuer.override = None
    warm = kind.make(issuer, rerouted(issuer, monotonic=clock))
    await warm.averify(credential)
    issuer.override = FAILURES[failure]
    clock.seconds += 600 + 3599
    await warm.averify(credential)
    assert issuer.fetches() == 3
    clock.seconds += 1
    with pytest.raises(UnavailableError, match="keys_unavailable"):
        await warm.averify(credential)

    issuer.override = None
    clock.seconds += 30
    await warm.averify(credential)


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_an_issuer_that_does_not_answer_in_time_is_an_outage(
    issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 0.2)
    kind = KINDS["supabase"]
    verifier = kind.make(issuer, rerouted(issuer, monotonic=clock))
    credential = Credential(kind.token(issuer))
    issuer.gate.clear()

    with pytest.raises(UnavailableError, match="keys_unavailable"):
        verifier.verify(credential) if blocking else await verifier.averify(credential)
    issuer.gate.set()
    clock.seconds += 30
    assert (await verifier.averify(credential)).subject


async def test_nobody_at_the_address_is_an_outage(issuer: Issuer, clock: Clock) -> None:
    kind = KINDS["supabase"]
    verifier = kind.make(issuer, rerouted(issuer, monotonic=clock))
    credential = Credential(kind.token(issuer))
    issuer.stop()

    with pytest.raises(UnavailableError, match="keys_unavailable"):
        await verifier.averify(credential)
    with pytest.raises(UnavailableError, match="keys_unavailable"):
        verifier.verify(credential)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.test"},
        {"jwks_uri": "http://192.0.2.1/keys"},
        {"jwks_uri": "ftp://127.0.0.1/keys"},
        {"jwks_uri": None},
    ],
    ids=str,
)
async def test_a_discovery_document_of_somebody_else_or_with_unsafe_keys_is_no_use(
    issuer: Issuer, clock: Clock, change: dict[str, Any]
) -> None:
    kind = KINDS["oidc"]
    verifier = kind.make(issuer, rerouted(issuer, monotonic=clock))
    issuer.discovery.update(change)

    with pytest.raises(UnavailableError, match="keys_unavailable"):
        await verifier.averify(Credential(kind.token(issuer)))
    assert issuer.fetches() == 1


async def test_an_outage_is_503_through_the_route(issuer: Issuer, make_app: Any) -> None:
    issuer.override = FAILURES["an error"]
    kind = KINDS["supabase"]
    for framework in ("fastapi", "flask", "starlette"):
        answer = await make_app(framework, kind.make(issuer, rerouted(issuer))).mint(kind.token(issuer))

        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "identity_provider_unavailable"
        assert answer.headers["retry-after"] == "5"

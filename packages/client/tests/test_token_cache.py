"""Tokens are kept until shortly before they end."""

from __future__ import annotations

import pytest
from behest import MintResult
from behest._minting import TokenRequest
from behest._tokens import TokenCache


def _asked(user_id: str = "u_42", **fields: object) -> TokenRequest:
    return TokenRequest(**{"user_id": user_id, "session_id": None, "tier": None, "ttl": 900, "role": "user", **fields})  # type: ignore[arg-type]


def _minted(token: str, ttl: int = 900) -> MintResult:
    return MintResult(token=token, session_id="s", ttl=ttl, expires_at=0)


@pytest.mark.parametrize(("ttl", "used_for"), [(3600, 3540), (900, 840), (120, 60), (60, 30), (0, 0), (-5, 0)])
def test_a_token_is_used_until_a_minute_before_its_end_or_half_its_life(ttl: int, used_for: int) -> None:
    cache = TokenCache()
    cache.keep(_asked(), _minted("a", ttl), now=1_000.0)

    if used_for:
        assert cache.find(_asked(), now=1_000.0 + used_for - 0.001) == _minted("a", ttl)
    assert cache.find(_asked(), now=1_000.0 + used_for) is None


@pytest.mark.parametrize(
    "other", [{"user_id": "u_7"}, {"session_id": "s"}, {"tier": 2}, {"tier": "2"}, {"ttl": 60}, {"role": "admin"}]
)
def test_a_token_is_never_given_to_a_request_that_differs(other: dict[str, object]) -> None:
    cache = TokenCache()
    cache.keep(_asked(), _minted("a"), now=0.0)

    assert cache.find(_asked(**other), now=0.0) is None  # type: ignore[arg-type]


def test_a_refused_token_is_forgotten_but_not_the_one_that_took_its_place() -> None:
    cache = TokenCache()
    cache.keep(_asked(), _minted("old"), now=0.0)
    cache.keep(_asked(), _minted("new"), now=0.0)

    assert cache.forget("old") is False
    assert cache.find(_asked(), now=0.0) == _minted("new")
    assert cache.forget("new") is True
    assert cache.find(_asked(), now=0.0) is None


def test_the_token_that_was_not_used_for_longest_makes_room() -> None:
    cache = TokenCache(limit=2)
    cache.keep(_asked("a"), _minted("a"), now=0.0)
    cache.keep(_asked("b"), _minted("b"), now=0.0)
    cache.find(_asked("a"), now=0.0)
    cache.keep(_asked("c"), _minted("c"), now=0.0)

    assert [name for name in "abc" if cache.find(_asked(name), now=0.0)] == ["a", "c"]

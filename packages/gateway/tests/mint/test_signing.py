"""The gateway's own keys: made once, sealed, exchanged with overlap, revoked when one leaks."""

from __future__ import annotations

import json

import jwt
import pytest
from behest_gateway.adapters.memory import MemoryDirectory
from behest_gateway.adapters.vault import VaultError
from behest_gateway.mint.rules import jwks

from .conftest import TokenPlane


def kids(directory: MemoryDirectory) -> list[str]:
    return [key.kid for key in directory.verification_keys()]


async def test_the_first_start_makes_a_key_and_the_next_finds_it(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    again, directory = plane.minting_keys(directory=(fresh := MemoryDirectory())), fresh
    await again.ensure()

    token = again.sign({"uid": "u_1"})

    assert plane.keys.kid.startswith("bh_")
    assert again.kid == plane.keys.kid
    assert kids(directory) == [again.kid]
    assert jwt.get_unverified_header(token)["kid"] == again.kid


async def test_no_private_half_is_in_the_data_directory(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    await plane.keys.rotate()
    plane.database.close()

    for file in plane.database.directory.iterdir():
        assert b"PRIVATE KEY" not in file.read_bytes()


async def test_another_master_key_is_refused_at_the_start_with_what_to_do(plane: TokenPlane) -> None:
    await plane.keys.ensure()

    with pytest.raises(VaultError, match=r"restore the PROVIDER_ENCRYPTION_KEY or the master\.key"):
        await plane.minting_keys(bytes(reversed(range(32)))).ensure()


async def test_a_new_key_signs_and_the_old_one_still_verifies(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    old = plane.keys.kid

    new = await plane.keys.rotate()

    assert plane.keys.kid == new != old
    assert kids(plane.directory) == [old, new]
    (stored_new, stored_old) = plane.store.minting_keys()
    assert (stored_new.kid, stored_new.retired_at, stored_new.sealed is not None) == (new, None, True)
    assert (stored_old.kid, stored_old.retired_at, stored_old.sealed) == (old, plane.clock.now, None)


async def test_a_retired_key_verifies_until_its_last_token_has_expired(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    old = plane.keys.kid
    new = await plane.keys.rotate()

    plane.clock.forward(24 * 3600)
    within = MemoryDirectory()
    await plane.minting_keys(directory=within).ensure()
    plane.clock.forward(3601)
    after = MemoryDirectory()
    await plane.minting_keys(directory=after).ensure()

    assert kids(within) == [new, old]
    assert kids(after) == [new]


async def test_the_next_exchange_withdraws_a_key_that_is_over(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    first = plane.keys.kid
    second = await plane.keys.rotate()
    plane.clock.forward(26 * 3600)

    third = await plane.keys.rotate()

    assert first not in kids(plane.directory)
    assert kids(plane.directory) == [second, third]


async def test_revoking_refuses_the_older_keys_at_once_and_for_good(plane: TokenPlane) -> None:
    await plane.keys.ensure()
    await plane.keys.rotate()

    new = await plane.keys.rotate(revoke_others=True)

    assert kids(plane.directory) == [new]
    again = MemoryDirectory()
    await plane.minting_keys(directory=again).ensure()
    assert kids(again) == [new]


async def test_the_jwks_has_the_public_half_alone(plane: TokenPlane) -> None:
    await plane.keys.ensure()

    (entry,) = json.loads(jwks(plane.directory.verification_keys()))["keys"]

    assert entry == {
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": plane.keys.kid,
        "n": entry["n"],
        "e": "AQAB",
    }
    assert len(entry["n"]) == 342

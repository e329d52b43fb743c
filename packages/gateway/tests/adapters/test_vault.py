"""Secrets at rest open in their place, under their master key, and nowhere else."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from behest_gateway.adapters.vault import Vault, VaultError, load_master_key
from hypothesis import given
from hypothesis import strategies as st

MASTER = bytes(range(32))
PLACE = {"owner": "gateway", "kid": "bh_1", "field": "private_pem"}


@given(st.binary(max_size=5_000))
def test_what_is_sealed_opens_in_its_place(secret: bytes) -> None:
    assert Vault(MASTER).open(Vault(MASTER).seal(secret, **PLACE), **PLACE) == secret


def test_the_same_secret_never_seals_alike() -> None:
    vault = Vault(MASTER)

    assert vault.seal(b"secret", **PLACE) != vault.seal(b"secret", **PLACE)


@pytest.mark.parametrize("change", [{"owner": "t1"}, {"kid": "bh_2"}, {"field": "other"}])
def test_what_was_moved_to_another_place_does_not_open(change: dict[str, str]) -> None:
    vault = Vault(MASTER)

    with pytest.raises(VaultError, match="belongs to another place"):
        vault.open(vault.seal(b"secret", **PLACE), **{**PLACE, **change})


def test_a_changed_bit_anywhere_is_noticed() -> None:
    vault = Vault(MASTER)
    sealed = vault.seal(b"secret", **PLACE)

    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(VaultError):
            vault.open(bytes(damaged), **PLACE)


def test_what_was_cut_short_is_noticed() -> None:
    vault = Vault(MASTER)
    sealed = vault.seal(b"secret", **PLACE)

    for length in range(len(sealed)):
        with pytest.raises(VaultError):
            vault.open(sealed[:length], **PLACE)


def test_another_master_key_is_told_apart_from_damage() -> None:
    with pytest.raises(VaultError, match="sealed under another master key"):
        Vault(bytes(reversed(MASTER))).open(Vault(MASTER).seal(b"secret", **PLACE), **PLACE)


def test_the_first_run_makes_a_master_key_that_its_owner_alone_can_read(tmp_path: Path) -> None:
    key = load_master_key(tmp_path, None, in_use=False)

    assert len(key) == 32
    assert load_master_key(tmp_path, None, in_use=True) == key
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "master.key").stat().st_mode) == 0o600


def test_a_given_master_key_wins_and_makes_no_file(tmp_path: Path) -> None:
    assert load_master_key(tmp_path, MASTER.hex() + "\n", in_use=True) == MASTER
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given_key", ["00" * 32, "ab", "x" * 64, MASTER.hex() + "00"])
def test_a_master_key_that_is_none_is_refused(tmp_path: Path, given_key: str) -> None:
    with pytest.raises(VaultError, match="64 random hex digits"):
        load_master_key(tmp_path, given_key, in_use=False)


def test_a_lost_master_key_is_not_replaced_while_something_is_sealed_under_it(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match=r"master\.key is missing"):
        load_master_key(tmp_path, None, in_use=True)

    assert list(tmp_path.iterdir()) == []


def test_a_master_key_file_that_was_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_bytes(b"\xff\x00")

    with pytest.raises(VaultError, match="64 random hex digits"):
        load_master_key(tmp_path, None, in_use=True)

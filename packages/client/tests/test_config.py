"""Settings: where they come from, what is missing, and that they never show a key."""

from __future__ import annotations

import socket

import pytest
from behest import AsyncBehest, Behest, BehestConfigError, ResolvedConfig, resolve_config
from behest._address import Address, address_of

from .stub_gateway import API_KEY, PROJECT, TENANT

BASE = "http://localhost:8080"


def test_without_an_address_it_says_which_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHEST_KEY", API_KEY)

    with pytest.raises(BehestConfigError) as caught:
        Behest()

    assert caught.value.code == "missing_env"
    assert caught.value.status is None
    assert "BEHEST_BASE_URL" in str(caught.value)
    assert "http://localhost:8080" in str(caught.value)


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(BehestConfigError, match="Missing BEHEST_KEY, BEHEST_BASE_URL") as caught:
        Behest()

    assert caught.value.code == "missing_env"


def test_everything_that_signing_lacks_is_named_at_once(pem: str) -> None:
    with pytest.raises(BehestConfigError) as caught:
        Behest(key=pem)

    assert caught.value.code == "missing_env"
    for name in ("BEHEST_KID", "BEHEST_TENANT_ID", "BEHEST_PROJECT_ID", "BEHEST_BASE_URL"):
        assert name in str(caught.value)


def test_only_what_signing_lacks_is_named(pem: str) -> None:
    with pytest.raises(BehestConfigError, match="Missing BEHEST_TENANT_ID ") as caught:
        Behest(key=pem, kid="sk_1", project_id=PROJECT, base_url=BASE)

    assert "BEHEST_KID" not in str(caught.value)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, pem: str) -> None:
    for name, value in {
        "BEHEST_KEY": pem.replace("\n", "\\n"),
        "BEHEST_BASE_URL": BASE,
        "BEHEST_USER_ID": "nightly-job",
        "BEHEST_TTL": "900",
        "BEHEST_TIER": "2",
        "BEHEST_ISSUER": "behest",
        "BEHEST_AUDIENCE": "behest-eu",
        "BEHEST_KID": "sk_1",
        "BEHEST_TENANT_ID": TENANT,
        "BEHEST_PROJECT_ID": PROJECT,
    }.items():
        monkeypatch.setenv(name, value)

    assert resolve_config() == ResolvedConfig(
        mode="sign",
        key=pem,
        base_url=BASE,
        default_user_id="nightly-job",
        ttl=900,
        tier=2,
        issuer="behest",
        audience="behest-eu",
        kid="sk_1",
        tenant_id=TENANT,
        project_id=PROJECT,
    )


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHEST_TTL", "900")
    monkeypatch.setenv("BEHEST_BASE_URL", "http://elsewhere")

    config = resolve_config(key=API_KEY, base_url=BASE, ttl=60)

    assert (config.base_url, config.ttl) == (BASE, 60)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BEHEST_USER_ID", "BEHEST_TTL", "BEHEST_TIER", "BEHEST_ISSUER", "BEHEST_AUDIENCE"):
        monkeypatch.setenv(name, "")

    config = resolve_config(key=API_KEY, base_url=BASE)

    assert (config.default_user_id, config.ttl, config.tier) == ("default", 3600, None)
    assert (config.issuer, config.audience) == ("https://api.behest.ai", "behest")


def test_a_tier_may_be_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHEST_TIER", "pro")

    assert resolve_config(key=API_KEY, base_url=BASE).tier == "pro"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://localhost:8080/", BASE),
        ("http://localhost:8080/v1", BASE),
        ("http://localhost:8080/v1/", BASE),
        (" http://localhost:8080/v1/v1 ", BASE),
        ("https://ai.example.com/behest/v1/", "https://ai.example.com/behest"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_may_end_in_a_slash_or_v1(given: str, kept: str) -> None:
    assert resolve_config(key=API_KEY, base_url=given).base_url == kept


@pytest.mark.parametrize(
    "given",
    [
        "localhost:8080",
        "ftp://localhost",
        "http://",
        "http://localhost:99999",
        "http://ada:secret@localhost:8080",
        "http://localhost:8080/?x=1",
        "http://localhost:8080/#x",
        API_KEY,
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(BehestConfigError) as caught:
        resolve_config(key=API_KEY, base_url=given)

    assert caught.value.code == "invalid_option"
    assert "secret" not in str(caught.value)
    assert API_KEY not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 59},
        {"ttl": 86_401},
        {"default_user_id": "admin"},
        {"max_retries": -1},
        {"max_cost_usd": -1},
        {"max_cost_usd": "free"},
    ],
)
def test_a_setting_out_of_its_range_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(BehestConfigError) as caught:
        resolve_config(key=API_KEY, base_url=BASE, **options)  # type: ignore[arg-type]

    assert caught.value.code == "invalid_option"


@pytest.mark.parametrize("value", ["soon", "3600.5", "10"])
def test_a_ttl_variable_that_is_no_ttl_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHEST_TTL", value)

    with pytest.raises(BehestConfigError, match="BEHEST_TTL"):
        resolve_config(key=API_KEY, base_url=BASE)


def test_the_older_variable_works_and_warns_once_per_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHEST_API_KEY", API_KEY)

    with pytest.warns(DeprecationWarning, match="rename it to BEHEST_KEY") as caught:
        client = Behest(base_url=BASE)

    assert client.config.key == API_KEY
    assert [warning.filename for warning in caught] == [__file__]


def test_the_older_argument_works_and_tells_whoever_wants_to_know() -> None:
    told: list[str] = []

    assert Behest(api_key=API_KEY, base_url=BASE, warn=told.append).config.key == API_KEY
    assert told == ["`api_key` is deprecated; pass `key` instead."]


def test_no_text_of_a_client_shows_its_key(pem: str) -> None:
    exchanging = Behest(key=API_KEY, base_url=BASE)
    signing = AsyncBehest(key=pem, kid="sk_1", tenant_id=TENANT, project_id=PROJECT, base_url=BASE)

    shown = " ".join(repr(each) for each in (exchanging, exchanging.config, signing, signing.config))
    assert "0123456789" not in shown
    assert pem.splitlines()[1] not in shown
    assert "key='behest_sk_live_...cdef'" in repr(exchanging)
    assert "key='RSA private key'" in repr(signing)


def test_a_broken_private_key_is_found_when_the_client_is_made() -> None:
    broken = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"

    with pytest.raises(BehestConfigError) as caught:
        Behest(key=broken, kid="sk_1", tenant_id=TENANT, project_id=PROJECT, base_url=BASE)

    assert caught.value.code == "bad_key_format"


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("http://localhost:8080", True),
        ("http://amber-fox-042.localhost:8080", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("https://ai.example.com", False),
        ("https://localhost.example.com", False),
    ],
)
def test_a_gateway_on_this_machine_is_known_as_such(address: str, is_loopback: bool) -> None:
    assert resolve_config(key=API_KEY, base_url=address).is_loopback is is_loopback


@pytest.mark.parametrize(
    "address", ["http://localhost:8080", "https://a.localhost", "https://ai.example.com/behest", "http://[::1]:1"]
)
def test_any_other_address_is_connected_to_as_it_is(address: str) -> None:
    assert address_of(address) == Address(url=address)


def test_a_path_and_a_port_of_a_name_under_localhost_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert address_of("http://a.localhost:81/x") == Address(url="http://127.0.0.1:81/x", host="a.localhost:81")
    assert address_of("http://a.localhost") == Address(url="http://127.0.0.1", host="a.localhost")


def test_a_name_under_localhost_that_the_system_knows_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])

    assert address_of("http://a.localhost:81") == Address(url="http://a.localhost:81")

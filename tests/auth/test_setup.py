"""What must be stated is asked for when the app starts, by the provider's names; a missing framework names itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from behest import AsyncBehest
from behest_auth import (
    OIDC,
    Auth0,
    Clerk,
    ConfigError,
    Credential,
    Dev,
    InvalidCredentialError,
    Supabase,
    Surroundings,
    TokenExchange,
)
from behest_auth.flask import BehestAuth as FlaskAuth

from ..support.issuer import RSA_KEY, Issuer, public_pem
from ..support.sign_ins import AUDIENCE, KINDS, PAGE, Kind, rerouted

CLASSES: dict[str, Any] = {"supabase": Supabase, "clerk": Clerk, "clerk-pem": Clerk, "auth0": Auth0, "oidc": OIDC}

WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Supabase(""), "url is required"),
    (lambda: Supabase("http://abc.supabase.co"), "url must be an https:// address"),
    (lambda: Supabase("ftp://abc.supabase.co"), "url must be an https:// address"),
    (lambda: Supabase("https://user:pw@abc.supabase.co"), "url must be an https:// address"),
    (lambda: Supabase("https://abc.supabase.co", strict=True), "needs api_key"),
    (lambda: Supabase("https://abc.supabase.co", legacy_hs256=True), "needs api_key"),
    (lambda: Supabase("https://abc.supabase.co", leeway=61), "leeway must be 0 to 60"),
    (lambda: Supabase("https://abc.supabase.co", leeway=-1), "leeway must be 0 to 60"),
    (lambda: Clerk("", [PAGE]), "issuer is required"),
    (lambda: Clerk("https://clerk.acme.com", []), "authorized_parties is required"),
    (lambda: Clerk("https://clerk.acme.com", ["*"]), "is no origin"),
    (lambda: Clerk("https://clerk.acme.com", [PAGE], jwt_key="sk_test_x"), "a public key in PEM is expected"),
    (
        lambda: Clerk("https://c.acme.com", [PAGE], jwt_key="-----BEGIN PUBLIC KEY-----AA-----END PUBLIC KEY-----"),
        "holds no public key",
    ),
    (lambda: Auth0("", AUDIENCE), "domain must be a host"),
    (lambda: Auth0("https://acme.eu.auth0.com", AUDIENCE), "domain must be a host"),
    (lambda: Auth0("acme.eu.auth0.com/", AUDIENCE), "domain must be a host"),
    (lambda: Auth0("acme.eu.auth0.com", ""), "audience is required"),
    (lambda: Auth0("acme.eu.auth0.com", AUDIENCE, domains=["*.acme.com"]), "domain must be a host"),
    (lambda: OIDC("", AUDIENCE), "issuer is required"),
    (lambda: OIDC("https://id.acme.com", ""), "audience is required"),
    (lambda: OIDC("https://id.acme.com", AUDIENCE, jwks_uri="http://id.acme.com/keys"), "jwks_uri must be an https"),
    (lambda: OIDC("https://id.acme.com", AUDIENCE, algorithms=["HS256"]), "algorithms must be some of"),
    (lambda: OIDC("https://id.acme.com", AUDIENCE, algorithms=["none"]), "algorithms must be some of"),
    (lambda: OIDC("https://id.acme.com", AUDIENCE, algorithms=[]), "algorithms must be some of"),
    (lambda: Dev(), "starts only with APP_ENV=development"),
]


@pytest.mark.parametrize(("make", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_provider_that_is_set_up_wrongly_stops_the_start(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize("name", sorted(CLASSES))
async def test_a_provider_is_set_up_by_its_own_variables(
    name: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Kind = KINDS[name]
    monkeypatch.setattr(Surroundings, "_shared", rerouted(issuer))
    needed = [variable for variable in kind.env(issuer) if variable != "CLERK_JWT_KEY"]
    for variable in needed:
        with pytest.raises(ConfigError, match=f"set .*{variable}"):
            CLASSES[name].from_env()
        monkeypatch.setenv(variable, kind.env(issuer)[variable])
    for variable, value in kind.env(issuer).items():
        monkeypatch.setenv(variable, value)

    identity = await CLASSES[name].from_env().averify(Credential(kind.token(issuer)))

    assert identity.subject == kind.claims(issuer, 0)["sub"]
    assert (issuer.fetches() == 0) is (name == "clerk-pem")


NOT_PUBLISHABLE = ["sk_test_x", "pk_live_", "pk_live_!!", "pk_live_Y2xlcms", "pk_other_Y2xlcmsuYWNtZS5jb20k"]


@pytest.mark.parametrize("key", NOT_PUBLISHABLE)
def test_a_key_of_clerk_that_is_not_publishable_stops_the_start(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("CLERK_PUBLISHABLE_KEY", key)
    monkeypatch.setenv("CLERK_AUTHORIZED_PARTIES", PAGE)

    with pytest.raises(ConfigError, match="must be the instance's publishable key"):
        Clerk.from_env()


@pytest.mark.parametrize("line_end", ["\n", "", "\\n"], ids=repr)
async def test_a_public_key_is_read_with_its_line_ends_without_them_and_with_marks(
    issuer: Issuer, line_end: str
) -> None:
    kind = KINDS["clerk-pem"]
    verifier = Clerk("https://clerk.acme.test", [PAGE], jwt_key=public_pem(RSA_KEY).replace("\n", line_end))

    assert (await verifier.averify(Credential(kind.token(issuer)))).session == "sess_2abc"
    assert issuer.fetches() == 0


async def test_clocks_may_differ_by_the_leeway_and_not_by_a_second_more(kind: Kind, issuer: Issuer) -> None:
    start = 1_800_000_000
    for leeway in (0, 15, 60):
        for offset, is_good in ((leeway - 1, True), (leeway, False)):
            now = start + (60 if kind.name.startswith("clerk") else 3600) + offset
            verifier = kind.make(issuer, rerouted(issuer, clock=lambda now=now: now), leeway=leeway)
            if is_good:
                await verifier.averify(Credential(kind.token(issuer, now=start)))
            else:
                with pytest.raises(InvalidCredentialError, match="expired"):
                    await verifier.averify(Credential(kind.token(issuer, now=start)))
        early = kind.make(issuer, rerouted(issuer, clock=lambda early=start - leeway: early), leeway=leeway)
        await early.averify(Credential(kind.token(issuer, now=start)))
        with pytest.raises(InvalidCredentialError, match="not_yet_valid"):
            await early.averify(Credential(kind.token(issuer, now=start + 1)))


async def test_what_is_widened_is_taken(issuer: Issuer) -> None:
    async def takes(name: str, changes: dict[str, Any], **flags: Any) -> None:
        kind = KINDS[name]
        await kind.make(issuer, rerouted(issuer), **flags).averify(Credential(kind.token(issuer, changes)))

    await takes("clerk", {"sts": "pending"}, allow_pending=True)
    await takes("clerk", {"act": {"sub": "user_admin"}}, allow_impersonation=True)
    await takes("auth0", {"gty": "client-credentials", "sub": "c@clients", "azp": "c"}, allow_machines=True)
    await takes("oidc", {"sub": "web"}, allow_machines=True)
    await takes("oidc", {"nonce": "n", "typ": "ID"}, accept_id_tokens=True)


async def test_several_domains_of_one_tenant_use_their_own_keys(issuer: Issuer) -> None:
    kind = KINDS["auth0"]
    verifier = kind.make(issuer, rerouted(issuer), domains=["login.acme.test"])

    assert (await verifier.averify(Credential(kind.token(issuer)))).issuer == "https://acme.eu.auth0.com/"
    with pytest.raises(InvalidCredentialError, match="issuer"):
        await verifier.averify(Credential(kind.token(issuer, {"iss": "https://evil.test/"})))


async def test_made_up_people_come_in_by_name_in_development_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "development")
    dev = Dev.from_env()

    assert (
        (await dev.averify(Credential("dev-alice"))).subject == dev.verify(Credential("dev-alice")).subject == "alice"
    )
    for value in ("alice", "dev-eve", "dev-", "dev-alice ", ""):
        with pytest.raises(InvalidCredentialError):
            dev.verify(Credential(value))
    for value in ("production", "", "Development"):
        monkeypatch.setenv("APP_ENV", value)
        with pytest.raises(ConfigError):
            Dev.from_env()


def test_flask_needs_the_blocking_client(issuer: Issuer, signing: dict[str, Any]) -> None:
    verifier = KINDS["supabase"].make(issuer, rerouted(issuer))
    with pytest.raises(ConfigError, match="behest must be Behest"):
        FlaskAuth(verifier, AsyncBehest(**signing))
    with pytest.raises(ConfigError, match="behest must be Behest"):
        TokenExchange(verifier, AsyncBehest(**signing)).exchange(Credential("x"))


WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "{framework}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import behest_auth
try:
    import behest_auth.{framework}
except ImportError as problem:
    print(problem)
"""


@pytest.mark.parametrize("framework", ["fastapi", "flask", "starlette"])
def test_a_missing_framework_is_named_with_its_extra(framework: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(framework=framework)],
        capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ),
    )  # fmt: skip

    assert done.stdout == (
        f"behest_auth.{framework} needs {framework}: install it with pip install 'behest-auth[{framework}]'.\n"
    )


def test_the_core_loads_no_framework_and_no_sdk() -> None:
    heavy = {"behest", "fastapi", "flask", "pydantic", "starlette"}
    code = f"import sys, behest_auth; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[]\n"

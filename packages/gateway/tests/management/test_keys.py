"""API keys and signing keys: shown once, listed without secrets, refused at once when revoked."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import jwt
import pytest
from behest_gateway.core.errors import GatewayError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from .conftest import Management
from .test_access import refusal


def public_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


@pytest.fixture(scope="module")
def own_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


async def test_a_key_is_shown_once_and_mints(management: Management) -> None:
    project = await management.project()
    operator = management.client()

    answer = await operator.post(f"/v1/projects/{project}/keys", json={"name": "backend", "role": "admin"})
    key = answer.json()
    listed = (await operator.get(f"/v1/projects/{project}/keys")).json()

    assert answer.status_code == 201
    assert re.fullmatch(r"behest_sk_live_[0-9a-f]{32}", key["key"])
    assert {k: v for k, v in key.items() if k not in ("id", "key", "created_at")} == {
        "name": "backend",
        "role": "admin",
        "last4": key["key"][-4:],
    }
    assert listed == {"data": [{k: v for k, v in key.items() if k != "key"}]}
    caller = management.authenticate.verify(await management.token(key["key"], "u_7"))
    assert (caller.user_id, caller.role, caller.project_id, caller.key_id) == ("u_7", "admin", project, key["id"])


async def test_a_key_needs_no_body(management: Management) -> None:
    project = await management.project()

    answer = await management.client().post(f"/v1/projects/{project}/keys")

    assert (answer.status_code, answer.json()["name"], answer.json()["role"]) == (201, "default", "user")


async def test_the_key_itself_is_not_in_the_data_directory(management: Management) -> None:
    project = await management.project()
    key = await management.key(project)

    (stored,) = management.store.keys(project)

    assert key["key"] not in repr(stored)
    assert stored.hash.startswith("$argon2id$")


@pytest.mark.parametrize("body", [{"role": "root"}, {"role": "dashboard-service"}, {"role": None}, {"name": ""}])
async def test_a_wrong_field_of_a_key_is_refused(management: Management, body: dict[str, object]) -> None:
    project = await management.project()

    answer = await management.client().post(f"/v1/projects/{project}/keys", json=body)

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    assert next(iter(body)) in answer.json()["message"]


async def test_a_revoked_key_mints_nothing_at_once_and_after_a_restart(management: Management) -> None:
    project = await management.project()
    key = await management.key(project)
    await management.token(key["key"])
    operator, path = management.client(), f"/v1/projects/{project}/keys/{key['id']}"

    assert (await operator.delete(path)).status_code == 204

    with pytest.raises(GatewayError, match="unknown or was revoked"):
        await management.token(key["key"])
    assert refusal(await operator.delete(path)) == (404, "NOT_FOUND")
    assert refusal(await operator.post(f"{path}/rotate")) == (404, "NOT_FOUND")
    assert (await operator.get(f"/v1/projects/{project}/keys")).json() == {"data": []}
    assert management.store.keys(None) == []


async def test_rotating_a_key_makes_another_of_its_name_and_role_and_revokes_it(management: Management) -> None:
    project = await management.project()
    old = await management.key(project, "admin")

    answer = await management.client().post(f"/v1/projects/{project}/keys/{old['id']}/rotate")
    new = answer.json()

    assert answer.status_code == 201
    assert (new["name"], new["role"]) == (old["name"], old["role"])
    assert new["key"] != old["key"]
    assert new["id"] != old["id"]
    await management.token(new["key"])
    with pytest.raises(GatewayError, match="unknown or was revoked"):
        await management.token(old["key"])


async def test_of_two_rotations_of_one_key_one_wins(management: Management) -> None:
    project = await management.project()
    old = await management.key(project)
    path = f"/v1/projects/{project}/keys/{old['id']}/rotate"

    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(management.client().post(path) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 404, 404, 404]
    assert len(management.store.keys(project)) == 1


async def test_a_key_made_while_its_project_ends_is_refused(management: Management) -> None:
    project = await management.project()

    management.works.go_on.clear()
    making = asyncio.create_task(management.client().post(f"/v1/projects/{project}/keys"))
    async with asyncio.timeout(10):
        await management.works.reached.wait()
        await management.client().delete(f"/v1/projects/{project}")
        management.works.go_on.set()
        assert refusal(await making) == (404, "NOT_FOUND")
    assert management.store.keys(None) == []


async def test_a_signing_key_is_generated_and_signs_users_tokens(management: Management) -> None:
    tenant = await management.tenant()
    project = await management.project(tenant)

    key = await management.made("/v1/signing-keys", {"tenant_id": tenant, "name": "backend"})
    listed = (await management.client().get(f"/v1/signing-keys?tenant_id={tenant}")).json()

    assert re.fullmatch(r"sk_[0-9a-f]{32}", key["kid"])
    assert key["private_key_pem"].startswith("-----BEGIN PRIVATE KEY-----\n")
    assert (key["tenant_id"], key["name"]) == (tenant, "backend")
    assert listed == {"data": [{k: v for k, v in key.items() if k != "private_key_pem"}]}
    caller = management.authenticate.verify(own_token(tenant, project, key["private_key_pem"], key["kid"]))
    assert (caller.user_id, caller.role, caller.tenant_id) == ("u_1", "user", tenant)


async def test_the_private_half_is_kept_nowhere(management: Management) -> None:
    tenant = await management.tenant()
    await management.made("/v1/signing-keys", {"tenant_id": tenant})

    for kept in management.store.signing_keys(None):
        assert "PRIVATE" not in repr(kept)


async def test_the_public_half_of_ones_own_key_is_registered(
    management: Management, own_key: rsa.RSAPrivateKey
) -> None:
    tenant = await management.tenant()
    project = await management.project(tenant)
    pem = public_pem(own_key)

    key = await management.made("/v1/signing-keys", {"tenant_id": tenant, "public_key_pem": pem})

    assert "private_key_pem" not in key
    assert (key["public_key_pem"], key["name"]) == (pem, "default")
    assert management.authenticate.verify(own_token(tenant, project, own_key, key["kid"])).user_id == "u_1"
    assert management.restarted().verification_key(key["kid"]) == management.directory.verification_key(key["kid"])


async def test_the_same_key_is_not_registered_twice_nor_after_it_was_revoked(
    management: Management, own_key: rsa.RSAPrivateKey
) -> None:
    tenant = await management.tenant()
    body = {"tenant_id": tenant, "public_key_pem": public_pem(own_key)}
    operator = management.client()
    key = await management.made("/v1/signing-keys", body)

    twice = await operator.post("/v1/signing-keys", json=body)
    await operator.delete(f"/v1/signing-keys/{key['kid']}")
    again = await operator.post("/v1/signing-keys", json=body)

    assert refusal(twice) == (409, "CONFLICT")
    assert refusal(again) == (409, "CONFLICT")
    assert "was revoked" in again.json()["message"]


async def test_tokens_of_a_revoked_signing_key_are_refused_at_once(management: Management) -> None:
    tenant = await management.tenant()
    project = await management.project(tenant)
    key = await management.made("/v1/signing-keys", {"tenant_id": tenant})
    token = own_token(tenant, project, key["private_key_pem"], key["kid"])
    management.authenticate.verify(token)
    operator = management.client()

    assert (await operator.delete(f"/v1/signing-keys/{key['kid']}")).status_code == 204

    with pytest.raises(GatewayError, match="revoked"):
        management.authenticate.verify(token)
    assert refusal(await operator.delete(f"/v1/signing-keys/{key['kid']}")) == (404, "NOT_FOUND")
    assert management.restarted().verification_key(key["kid"]) is None


async def test_a_key_of_the_gateway_itself_is_no_signing_key(management: Management) -> None:
    (own,) = management.directory.verification_keys()

    assert (await management.client().get("/v1/signing-keys")).json() == {"data": []}
    assert refusal(await management.client().delete(f"/v1/signing-keys/{own.kid}")) == (404, "NOT_FOUND")


async def test_what_is_no_rsa_public_key_is_refused(management: Management, own_key: rsa.RSAPrivateKey) -> None:
    tenant = await management.tenant()
    private = own_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)

    for pem in ("", "nonsense", private, public_pem(ec.generate_private_key(ec.SECP256R1())), public_pem(small)):
        answer = await management.client().post("/v1/signing-keys", json={"tenant_id": tenant, "public_key_pem": pem})
        assert refusal(answer) == (400, "VALIDATION_ERROR")
        assert "public_key_pem" in answer.json()["message"]
        assert "MII" not in answer.text


async def test_the_gateways_own_key_is_exchanged_by_an_operator(management: Management) -> None:
    project = await management.project()
    key = await management.key(project)
    before = await management.token(key["key"])

    answer = await management.client().post("/v1/admin/minting-key/rotate")
    after = await management.token(key["key"])

    assert answer.status_code == 201
    assert jwt.get_unverified_header(after)["kid"] == answer.json()["kid"]
    assert jwt.get_unverified_header(before)["kid"] != answer.json()["kid"]
    assert management.authenticate.verify(before).user_id == "u_1"
    assert management.authenticate.verify(after).user_id == "u_1"


async def test_a_leaked_key_of_the_gateway_is_revoked_with_its_tokens(management: Management) -> None:
    project = await management.project()
    key = await management.key(project)
    before = await management.token(key["key"])

    answer = await management.client().post("/v1/admin/minting-key/rotate", json={"revoke_others": True})

    assert answer.status_code == 201
    with pytest.raises(GatewayError, match="revoked"):
        management.authenticate.verify(before)
    assert management.authenticate.verify(await management.token(key["key"])).user_id == "u_1"


def own_token(tenant: str, project: str, key: str | rsa.RSAPrivateKey, kid: str) -> str:
    """A token as a tenant's backend signs it."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "tid": tenant,
        "pid": project,
        "uid": "u_1",
        "role": "user",
        "scp": [],
        "iss": "https://api.behest.ai",
        "aud": "behest",
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "sid": "s1",
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})

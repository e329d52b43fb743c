"""Exchange an API key for a token of one user.

Argon2id proves a key, and costs a tenth of a second; published clients mint before every call. So a key is proved once
and then remembered, by the very record that was proved: a key that was revoked or replaced is no longer that record,
and counts as unknown whatever is remembered. Of many first mints at once, one proves and the others wait for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from behest_protocol.claims import ISSUERS

from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError
from behest_gateway.core.ids import new_random_id
from behest_gateway.core.snapshot import ApiKey, Directory, ProjectSnapshot
from behest_gateway.core.switches import killed_refusal, switch_for_caller
from behest_gateway.mint.ports import KeyProof, TokenSigner
from behest_gateway.mint.rules import claims_of, credential_problem, granted_role, lookup_of, read_body

PROVED_KEYS = 10_000
"""How many proved API keys are remembered; the least recently used goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MintReply:
    """A minted token. `ttl` is in seconds, `expires_at` in seconds since 1970."""

    token: str
    project_id: str
    ttl: int
    expires_at: int
    session_id: str

    def to_json(self) -> dict[str, Any]:
        """The body of the answer: every name that a published client or page uses."""
        return {
            "jwt": self.token,
            "access_token": self.token,
            "token_type": "Bearer",
            "project_id": self.project_id,
            "ttl": self.ttl,
            "expires_in": self.ttl,
            "expires_at": self.expires_at,
            "session_id": self.session_id,
        }


class Minter:
    """Mints tokens.

    Args:
        directory: Where API keys and projects are published.
        signer: Signs with the gateway's key.
        proof: Checks an API key against its Argon2id hash.
        issuer: The `iss` of the tokens.
    """

    def __init__(
        self,
        directory: Directory,
        signer: TokenSigner,
        proof: KeyProof,
        clock: Clock,
        *,
        issuer: str = ISSUERS[0],
        proved_keys: int = PROVED_KEYS,
    ) -> None:
        self._directory = directory
        self._signer = signer
        self._proof = proof
        self._clock = clock
        self._issuer = issuer
        self._capacity = proved_keys
        self._proved: OrderedDict[str, ApiKey] = OrderedDict()
        self._proving: dict[ApiKey, asyncio.Task[bool]] = {}

    async def mint(
        self, credential: str | None, host_project: ProjectSnapshot | None, body: bytes | dict[str, Any]
    ) -> MintReply:
        """Mint a token for the user that the body names.

        Args:
            credential: What the caller sent as Bearer.
            host_project: The project whose slug the request's host is, if any.
            body: The request's body, or the object that it decodes to.

        Raises:
            GatewayError: 401 for the key, 403 for the host, the role or a kill switch, 400 or 413 for the body.
        """
        key = await self._authenticated(credential)
        project = self._directory.project(key.project_id)
        if project is None:
            raise _unknown_key()
        if project.status != "active":
            raise GatewayError("invalid_token", "The project of this API key is suspended; an operator can resume it.")
        if host_project is not None and host_project.id != project.id:
            raise GatewayError("forbidden", "This API key belongs to another project than this host.")
        request = read_body(body, project.policies)
        switches = self._directory.switches()
        if switches:
            switch = switch_for_caller(
                switches, tenant_id=project.tenant_id, project_id=project.id, user_id=request.user_id
            )
            if switch is not None:
                raise killed_refusal(switch)
        role = granted_role(request.role, key.role)
        session_id = request.session_id or new_random_id()
        now = self._clock.now_us() // 1_000_000
        claims = claims_of(
            request,
            project,
            role=role,
            session_id=session_id,
            issuer=self._issuer,
            token_id=new_random_id(),
            api_key_id=key.id,
            now=now,
        )
        return MintReply(
            token=self._signer.sign(claims),
            project_id=project.id,
            ttl=request.ttl,
            expires_at=now + request.ttl,
            session_id=session_id,
        )

    def knows(self, credential: str | None) -> bool:
        """This very API key was proved before, and is still in force."""
        if credential is None or credential_problem(credential) is not None:
            return False
        lookup = lookup_of(credential)
        return lookup in self._proved and self._proved[lookup] == self._directory.api_key(lookup)

    def forget(self) -> None:
        """Drop what is remembered of keys that are published no more; give this to `MemoryDirectory.on_withdraw`."""
        gone = [lookup for lookup, key in self._proved.items() if self._directory.api_key(lookup) != key]
        for lookup in gone:
            del self._proved[lookup]

    async def _authenticated(self, credential: str | None) -> ApiKey:
        problem = credential_problem(credential)
        if problem is not None or credential is None:
            raise GatewayError("invalid_token", problem or "")
        lookup = lookup_of(credential)
        key = self._directory.api_key(lookup)
        if key is None:
            raise _unknown_key()
        if self._proved.get(lookup) == key:
            self._proved.move_to_end(lookup)
            return key
        task = self._proving.get(key)
        if task is None:
            task = asyncio.create_task(self._proof.verify(key.hash, credential))
            self._proving[key] = task
            task.add_done_callback(lambda done: self._proved_or_not(key, done))
        # Shielded, so that a caller who hangs up does not fail the others who wait for the same proof.
        if not await asyncio.shield(task) or self._directory.api_key(lookup) != key:
            raise _unknown_key()
        return key

    def _proved_or_not(self, key: ApiKey, task: asyncio.Task[bool]) -> None:
        self._proving.pop(key, None)
        if task.cancelled() or task.exception() is not None or not task.result():
            return
        if self._directory.api_key(key.lookup) == key:
            self._proved[key.lookup] = key
            if len(self._proved) > self._capacity:
                self._proved.popitem(last=False)


def _unknown_key() -> GatewayError:
    return GatewayError("invalid_token", "This API key is unknown or was revoked; make one for the project.")

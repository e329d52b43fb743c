"""Tenants' signing keys: their backends sign users' tokens without a call; the gateway keeps the public halves."""

from __future__ import annotations

import secrets

from behest_protocol.claims import KEY_ID_PREFIX

from behest_gateway.control.access import Actor
from behest_gateway.control.ports import RsaKeys, SigningKeyStore
from behest_gateway.control.records import SigningKey
from behest_gateway.control.rules import clean_name
from behest_gateway.control.tenants import Tenants
from behest_gateway.core.clock import Clock
from behest_gateway.core.errors import GatewayError, invalid
from behest_gateway.core.events import new_event
from behest_gateway.core.snapshot import Publisher

MAX_KEYS = 100
"""Signing keys of a tenant that are in force at one time; each is an entry of the JWKS."""


class SigningKeys:
    """Generates, registers, lists and revokes tenants' signing keys."""

    def __init__(
        self, store: SigningKeyStore, tenants: Tenants, publisher: Publisher, rsa: RsaKeys, clock: Clock
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._publisher = publisher
        self._rsa = rsa
        self._clock = clock

    async def create(
        self, actor: Actor, *, tenant_id: str | None, name: str | None = None, public_key_pem: str | None = None
    ) -> tuple[SigningKey, str | None]:
        """Generate a key, or register the public half of one that the tenant made.

        Returns:
            The key, and the private half as PKCS#8 PEM when it was generated: shown once, and kept nowhere.

        Raises:
            GatewayError: 400 for the PEM, 404 for the tenant, 409 when the same key was registered before.
        """
        tenant = self._tenants.get(actor, tenant_id)
        name = "default" if name is None else clean_name(name)
        private_pem = None
        if public_key_pem is None:
            pair = await self._rsa.generate()
            private_pem, public_pem = pair.private_pem, pair.public_pem
        else:
            try:
                public_pem = self._rsa.public_pem(public_key_pem)
            except ValueError as error:
                raise invalid(str(error), "public_key_pem") from None
            known = self._store.signing_key_of(public_pem)
            if known is not None:
                why = "was revoked" if known.revoked_at is not None else "is registered already"
                raise GatewayError("conflict", f"This key {why}; make a new one.", param="public_key_pem")
        if len(self._store.signing_keys(tenant.id)) >= MAX_KEYS:
            raise GatewayError("conflict", f"A tenant has at most {MAX_KEYS} signing keys; revoke one first.")
        key = SigningKey(
            kid=KEY_ID_PREFIX + secrets.token_hex(16),
            tenant_id=tenant.id,
            name=name,
            public_pem=public_pem,
            created_at=self._clock.now_us(),
        )
        self._store.insert_signing_key(key)
        self._publisher.publish_verification_key(key.published)
        return key, private_pem

    def list(self, actor: Actor, tenant_id: str | None = None) -> list[SigningKey]:
        """The keys in force that an actor sees, of one tenant when it is named."""
        return self._store.signing_keys(actor.tenants_in_view(tenant_id))

    def revoke(self, actor: Actor, kid: str) -> None:
        """Refuse every token of a key from now on."""
        key = self._store.signing_key(kid)
        if key is None or not actor.sees(key.tenant_id):
            raise GatewayError("not_found", "There is no signing key of this kid; it may have been revoked.")
        at = self._clock.now_us()
        told = new_event(
            "key_revoked",
            tenant_id=key.tenant_id,
            project_id=None,
            at=at,
            key_id=kid,
            kind="signing_key",
            name=key.name,
            reason="revoked",
            by=actor.name,
        )
        self._store.revoke_signing_key(kid, at, events=[told])
        self._publisher.withdraw_verification_key(kid)

"""Who manages: an operator sees everything, a tenant's admin sees that tenant alone."""

from __future__ import annotations

from dataclasses import dataclass

from behest_gateway.core.errors import GatewayError, invalid


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Whoever holds a management credential. `tenant_id` is None for an operator."""

    tenant_id: str | None = None
    user_id: str | None = None

    @property
    def is_operator(self) -> bool:
        """Holds the operator secret."""
        return self.tenant_id is None

    @property
    def name(self) -> str:
        """How the record names who did something; no user's id makes an admin look like the operator."""
        return "operator" if self.is_operator else f"admin {self.user_id}"

    def sees(self, tenant_id: str) -> bool:
        """May know that this tenant exists, and manage it."""
        return self.tenant_id is None or self.tenant_id == tenant_id

    def require_operator(self) -> None:
        """Raise 403 unless this is an operator."""
        if not self.is_operator:
            raise GatewayError("forbidden", "This needs the operator secret.")

    def tenant_to_act_for(self, tenant_id: str | None) -> str:
        """The tenant that a request is about: an operator names one, an admin's own is implied.

        Raises:
            GatewayError: 400 when an operator names none; 403 when an admin names another.
        """
        if self.tenant_id is None:
            if tenant_id is None:
                raise invalid("tenant_id is required with the operator secret", "tenant_id")
            return tenant_id
        if tenant_id is not None and tenant_id != self.tenant_id:
            raise GatewayError("forbidden", "This token manages its own tenant alone.", param="tenant_id")
        return self.tenant_id

    def tenants_in_view(self, tenant_id: str | None) -> str | None:
        """The tenant whose things a list shows; None is all of them."""
        if self.tenant_id is None:
            return tenant_id
        return self.tenant_to_act_for(tenant_id)

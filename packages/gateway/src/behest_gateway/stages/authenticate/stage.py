"""Verify a token once, and remember that it was until it expires."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import jwt
from jwt.types import Options

from behest_gateway.core.clock import Clock
from behest_gateway.core.exchange import Addressed, Caller, Identified
from behest_gateway.core.snapshot import Directory, VerificationKey
from behest_gateway.stages.authenticate import rules

REMEMBERED = 20_000
"""Verified tokens that are kept; a verification costs a hundred times a look-up."""

_RS256 = ["RS256"]
_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class Authenticate:
    """Turns bearer tokens into callers.

    Args:
        issuers: The accepted `iss` values.
    """

    def __init__(self, directory: Directory, clock: Clock, issuers: frozenset[str]) -> None:
        self._directory = directory
        self._clock = clock
        self._issuers = issuers
        self._verified: OrderedDict[str, Caller] = OrderedDict()
        self._keys: dict[str, tuple[str, Any]] = {}

    def forget(self) -> None:
        """Verify every token anew: a key or a project was taken away."""
        self._verified.clear()
        self._keys.clear()

    def knows(self, token: str | None) -> bool:
        """This very token was verified before, and is still good."""
        caller = self._verified.get(token) if token is not None else None
        return caller is not None and caller.expires_at + rules.LEEWAY > self._clock.now_us() // 1_000_000

    def _public_key(self, key: VerificationKey) -> Any:
        known = self._keys.get(key.kid)
        if known is None or known[0] != key.public_pem:
            known = (key.public_pem, jwt.get_algorithm_by_name("RS256").prepare_key(key.public_pem))
            self._keys[key.kid] = known
        return known[1]

    def verify(self, token: str | None) -> Caller:
        """The caller that a token speaks for.

        Raises:
            GatewayError: `invalid_token`, saying what is wrong with it.
        """
        now = self._clock.now_us() // 1_000_000
        if token is not None:
            caller = self._verified.get(token)
            if caller is not None and caller.expires_at + rules.LEEWAY > now:
                return caller
        refusal = rules.credential_refusal(token)
        if refusal is not None or token is None:
            raise refusal or rules.unauthorized("Send a user's token.", "missing")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise rules.unauthorized("The bearer token is not a JWT.", "malformed") from None
        if header.get("alg") != "RS256":
            raise rules.unauthorized("Only tokens signed with RS256 are accepted.", "algorithm")
        kid = header.get("kid")
        key = self._directory.verification_key(kid) if isinstance(kid, str) else None
        if key is None:
            raise rules.unauthorized("The token's signing key (kid) is unknown or was revoked.", "kid")
        try:
            claims = jwt.decode(token, self._public_key(key), algorithms=_RS256, options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise rules.unauthorized("The token's signature is wrong.", "signature") from None
        caller = rules.caller_from_claims(claims, key, self._issuers, now)
        if len(self._verified) >= REMEMBERED:
            self._verified.popitem(last=False)
        self._verified[token] = caller
        return caller

    def identify(self, addressed: Addressed) -> Identified:
        """Find out who calls, which project it is for, and what is in force there for the caller's tier.

        Raises:
            GatewayError: `invalid_token`, or `forbidden` when the token is for another project than the host.
        """
        caller = self.verify(addressed.call.token)
        project = self._directory.project(caller.project_id)
        refusal = rules.project_refusal(caller, project, addressed.project)
        if refusal is not None or project is None:
            raise refusal or rules.unauthorized("The token's project does not exist.", "project")
        return Identified(addressed.call, caller, project, project.policy_for(caller.tier))

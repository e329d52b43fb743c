"""What callers of the token plane see: the mint, and the JWKS."""

from __future__ import annotations

from behest_gateway.core.snapshot import Directory, ProjectSnapshot
from behest_gateway.http.exchange import Reply, Request
from behest_gateway.http.render import json_reply
from behest_gateway.mint import rules
from behest_gateway.mint.actions import Minter

PATHS = ("/v1/auth/mint", "/auth/v1/auth/mint")
"""Both take POST. The second answers errors in the flat envelope of the management plane."""

JWKS_PATH = "/.well-known/jwks.json"


async def mint(minter: Minter, request: Request, host_project: ProjectSnapshot | None, body: bytes) -> Reply:
    """Answer a POST to one of `PATHS`.

    Args:
        host_project: The project whose slug the request's host is, if any.

    Raises:
        GatewayError: The key is refused, or the body is wrong.
    """
    reply = await minter.mint(request.bearer, host_project, body)
    return json_reply(reply.to_json())


def jwks_reply(directory: Directory) -> Reply:
    """Answer a GET of `JWKS_PATH`: every key in force."""
    body = rules.jwks(directory.verification_keys())
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"public, max-age=300")]
    return Reply(status=200, body=body, headers=headers)

"""An identity provider on loopback: real HTTP, keys of its own, and every page can be made to fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from behest_auth.fetching import HttpFetcher
from behest_auth.ports import Answer, Ask
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

RSA_KEY = "rsa-1"
EC_KEY = "ec-1"
ENCRYPTION_KEY = "for-encryption"
SECRET_KEY = "shared-secret"
LEAKED_KEY = "with-its-private-half"
SMALL_KEY = "of-1024-bits"
RS512_KEY = "for-rs512"


@cache
def private_key(name: str) -> Any:
    """A private key, made once for each name."""
    if name.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == SMALL_KEY else 2048)


def public_jwk(name: str, **fields: Any) -> dict[str, Any]:
    """The public half as a provider publishes it."""
    key = private_key(name).public_key()
    algorithm: Any = ECAlgorithm if name.startswith("ec") else RSAAlgorithm
    base: dict[str, Any] = algorithm.to_jwk(key, as_dict=True)
    base.pop("key_ops", None)
    return {**base, "kid": name, "use": "sig", "alg": "ES256" if name.startswith("ec") else "RS256", **fields}


@cache
def public_pem(name: str) -> str:
    """The public half in PEM."""
    return (
        private_key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def usual_keys() -> list[dict[str, Any]]:
    """Two good keys, and those that must not be used."""
    private: dict[str, Any] = RSAAlgorithm.to_jwk(private_key(LEAKED_KEY), as_dict=True)
    private.pop("key_ops", None)
    return [
        public_jwk(RSA_KEY),
        public_jwk(EC_KEY),
        public_jwk(ENCRYPTION_KEY, use="enc"),
        {"kty": "oct", "kid": SECRET_KEY, "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "alg": "HS256"},
        {**private, "kid": LEAKED_KEY, "alg": "RS256"},
        public_jwk(SMALL_KEY),
        public_jwk(RS512_KEY, alg="RS512"),
    ]


@dataclass
class Issuer:
    """What the provider's pages say.

    Attributes:
        keys: The key set.
        override: What the key set's page answers instead: a status, headers and a body.
        users: What `GET /auth/v1/user` answers to a bearer token: a status and a body.
        asked: The path of every request, in order.
        gate: Requests wait for it before they are answered.
    """

    keys: list[dict[str, Any]] = field(default_factory=usual_keys)
    override: tuple[int, dict[str, str], bytes] | None = None
    users: Callable[[str], tuple[int, dict[str, Any]]] = lambda _: (404, {})
    asked: list[str] = field(default_factory=list[str])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    gate: threading.Event = field(default_factory=threading.Event)
    discovery: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.gate.set()

    def start(self) -> None:
        """Begin to serve."""
        issuer = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer.headers.append({name.lower(): value for name, value in self.headers.items()})
                issuer.gate.wait(30)
                status, headers, body = issuer.page(self.path, self.headers.get("authorization", ""))
                try:
                    self.send_response(status)
                    for name, value in {"content-length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the client read enough and hung up

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Pages)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self.gate.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def page(self, path: str, authorization: str) -> tuple[int, dict[str, str], bytes]:
        """What a page answers."""
        if path.endswith("/user"):
            status, user = self.users(authorization.partition(" ")[2])
            return status, {}, json.dumps(user).encode()
        if path.endswith("/openid-configuration"):
            return 200, {}, json.dumps(self.discovery).encode()
        if self.override is not None:
            return self.override
        return 200, {}, json.dumps({"keys": self.keys}).encode()

    def fetches(self) -> int:
        """How many pages were asked for."""
        return len(self.asked)


class Rerouted:
    """Fetches over real HTTP from a provider on loopback what is asked of an address on the internet."""

    def __init__(self, hosts: dict[str, str]) -> None:
        self._hosts = hosts
        self._http = HttpFetcher()

    def get(self, ask: Ask) -> Answer:
        return self._http.get(self._local(ask))

    async def aget(self, ask: Ask) -> Answer:
        return await self._http.aget(self._local(ask))

    def _local(self, ask: Ask) -> Ask:
        for there, here in self._hosts.items():
            if ask.url.startswith(f"{there}/"):
                return Ask(url=here + ask.url.removeprefix(there), headers=ask.headers)
        return ask

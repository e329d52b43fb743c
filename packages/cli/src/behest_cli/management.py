"""The gateway's management routes, as the commands call them: one method per HTTP verb, and errors that say what to do.

Nothing of the gateway is known here but its paths; what it answers is handed on as it came.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import httpx

from behest_cli.errors import CliError, UsageError, no_gateway_at

TIMEOUT_SECONDS = 30.0
SILENCE_SECONDS = 60.0
"""A stream that says nothing for so long is broken: the gateway gives a sign of life four times as often."""

RECONNECT_SECONDS = 1.0


class RefusedError(CliError):
    """The gateway answered, and the answer is no.

    Attributes:
        status: The HTTP status.
        code: The gateway's stable code, in lower case, or an empty text when it gave none.
    """

    def __init__(self, message: str, *, status: int, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the gateway said.

    Attributes:
        text: The body as it came, for `--json`.
        data: The same, decoded; None when the body is empty.
    """

    text: str
    data: Any

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The entries of a list answer.

        >>> Answer(text="", data={"data": [{"id": "t_1"}]}).rows
        [{'id': 't_1'}]
        """
        return cast("list[dict[str, Any]]", self.data["data"])


class Management:
    """A connection to the management plane, to be used in a `with` block.

    Args:
        base_url: The gateway's address; a slug host (`http://demo.localhost:8080`) is as good as the plain one.
        token: The operator's secret, or a minted token with the role `admin`.
        tenant: Which tenant is meant where a command does not say it.
        project: Which project is meant where a command does not say it; an id or a slug.
    """

    def __init__(self, *, base_url: str, token: str, tenant: str | None = None, project: str | None = None) -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/v1")
        self._tenant = tenant
        self._project = project
        self._client = httpx.Client(
            base_url=connectable(self.base_url),
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_SECONDS,
            trust_env=not is_loopback(self.base_url),  # A gateway on this machine is never asked for through a proxy.
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **params: str | None) -> Answer:
        """Ask for something; parameters that are None are left out.

        Raises:
            CliError: Nothing answers, or the gateway refuses (`RefusedError`).
        """
        return self._send("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Create something; fields that are None are left out. Raises as `get` does."""
        return self._send("POST", path, body={} if body is None else _known(body))

    def put(self, path: str, body: dict[str, Any]) -> Answer:
        """Replace something, None included. Raises as `get` does."""
        return self._send("PUT", path, body=body)

    def patch(self, path: str, body: dict[str, Any]) -> Answer:
        """Change something. Raises as `get` does."""
        return self._send("PATCH", path, body=body)

    def delete(self, path: str) -> Answer:
        """Remove something. Raises as `get` does."""
        return self._send("DELETE", path)

    @contextmanager
    def download(self, path: str, **params: str | None) -> Generator[Iterator[bytes], None, None]:
        """Ask for a file, and give its bytes as they come. Raises as `get` does, also when the file breaks off."""
        asked = {name: value for name, value in params.items() if value is not None}
        begun = (
            "The file is not whole; ask again, for a shorter span if it goes on to fail. The gateway's log says why."
        )
        with self._said(f"GET {path}", hint=begun), self._client.stream("GET", path, params=asked) as response:
            if not response.is_success:
                response.read()
                raise self._refusal(response)
            if not response.headers.get("content-type", "").startswith("text/csv"):
                raise CliError(
                    f"What answers at {self.base_url} sends no CSV, so it is hardly a Behest gateway, or an older one.",
                    hint="Check --base-url or BEHEST_BASE_URL; `behest version` says which versions there are.",
                )
            yield response.iter_bytes()

    def follow(self, path: str, **params: str | None) -> Generator[str]:
        """Give each event of a stream, from now on; one that breaks is taken up where it was.

        Raises:
            CliError: Nothing answers, or the gateway refuses.
        """
        known = {name: value for name, value in params.items() if value is not None}
        headers = {"Accept": "text/event-stream"}
        while True:
            try:
                with self._client.stream("GET", path, params=known, headers=headers, timeout=SILENCE_SECONDS) as answer:
                    if not answer.is_success:
                        answer.read()
                        raise self._refusal(answer)
                    for line in answer.iter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            headers["Last-Event-ID"] = value
                        elif name == "data":
                            yield value
            except httpx.ConnectError as error:
                raise no_gateway_at(self.base_url) from error
            except httpx.TransportError:
                pass  # Broken on the way.
            time.sleep(RECONNECT_SECONDS)

    def tenant_id(self, given: str | None) -> str | None:
        """Say which tenant is meant: the one given, the profile's, or the only one there is.

        Returns:
            Its id, or None when the credential belongs to one tenant anyway.

        Raises:
            UsageError: There are none, or several.
        """
        wanted = given or self._tenant
        try:
            tenants = self.get("/v1/tenants").rows
        except RefusedError as error:
            if error.status == 403:
                return wanted
            raise
        if wanted:
            return _one_of(tenants, wanted, names=("id", "name"), noun="tenant")
        if len(tenants) == 1:
            return str(tenants[0]["id"])
        if not tenants:
            raise UsageError("There is no tenant yet.", hint="Create one with `behest tenant create NAME`.")
        names = ", ".join(f"{tenant['id']} ({tenant['name']})" for tenant in tenants[:5])
        raise UsageError(f"There are {len(tenants)} tenants: {names}.", hint="Say which one with --tenant ID.")

    def project_id(self, given: str | None) -> str:
        """Say which project is meant: the one given or the profile's, by id or slug, or the only one there is.

        Raises:
            UsageError: It is not known, or there are none, or several.
        """
        wanted = given or self._project
        if wanted and _is_uuid(wanted):
            return wanted
        projects = self.get("/v1/projects").rows
        if wanted:
            return _one_of(projects, wanted, names=("id", "slug", "name"), noun="project")
        if len(projects) == 1:
            return str(projects[0]["id"])
        if not projects:
            raise UsageError("There is no project yet.", hint="Create one with `behest project create NAME`.")
        slugs = ", ".join(str(project["slug"]) for project in projects[:10])
        raise UsageError(f"There are {len(projects)} projects: {slugs}.", hint="Say which one with --project SLUG.")

    def project_path(self, given: str | None, rest: str = "") -> str:
        """Write the path of a project's resource.

        >>> m = Management(base_url="http://127.0.0.1:8080", token="t")
        >>> m.project_path("00000000-0000-4000-8000-000000000000", "/keys")
        '/v1/projects/00000000-0000-4000-8000-000000000000/keys'
        """
        return f"/v1/projects/{quote(self.project_id(given), safe='')}{rest}"

    def _send(
        self, method: str, path: str, *, params: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> Answer:
        with self._said(f"{method} {path}"):
            response = self._client.request(method, path, params=params, json=body)
        if not response.is_success:
            raise self._refusal(response)
        if not response.content:
            return Answer(text="", data=None)
        try:
            return Answer(text=response.text, data=response.json())
        except ValueError as error:
            raise CliError(
                f"What answers at {self.base_url} does not speak JSON, so it is hardly a Behest gateway.",
                hint="Check --base-url or BEHEST_BASE_URL.",
            ) from error

    @contextmanager
    def _said(self, what: str, *, hint: str | None = None) -> Generator[None, None, None]:
        """Turn the failures of a connection into ours."""
        try:
            yield
        except httpx.ConnectError as error:
            raise no_gateway_at(self.base_url) from error
        except httpx.TimeoutException as error:
            raise CliError(
                f"The gateway at {self.base_url} did not answer {what} in {TIMEOUT_SECONDS:.0f} seconds.",
                hint=hint,
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CliError(f"Talking to {self.base_url} failed: {error}", hint=hint) from error

    def _refusal(self, response: httpx.Response) -> RefusedError:
        said = _object(_decoded(response))
        nested = _object(said.get("error"))
        code = str(nested.get("code") or said.get("code") or "").lower()
        message = str(nested.get("message") or said.get("message") or f"HTTP {response.status_code}")
        trace = str(said.get("trace_id") or response.headers.get("X-Trace-Id") or "")
        hint = None
        if response.status_code == 401:
            hint = (
                "Set BEHEST_ADMIN_TOKEN (or --admin-token) to the secret that the gateway printed at its first start."
            )
        elif response.status_code == 404 and not code:
            hint = "Is this a Behest gateway? Check --base-url or BEHEST_BASE_URL."
        elif response.status_code >= 500 and trace:
            hint = f"The gateway's log tells more about trace {trace}."
        text = f"The gateway refused: {message}" + (f" ({code})" if code else "")
        return RefusedError(text, status=response.status_code, code=code, hint=hint)


def is_loopback(base_url: str) -> bool:
    """Say whether an address is on this machine.

    >>> is_loopback("http://demo.localhost:8080"), is_loopback("https://gateway.example")
    (True, False)
    """
    host = urlsplit(base_url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")


def check_base_url(base_url: str) -> str:
    """Give an address back when it can be one.

    Raises:
        UsageError: It has no scheme or no host.

    >>> check_base_url("http://127.0.0.1:8080")
    'http://127.0.0.1:8080'
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"Not an address: {base_url!r}.", hint="Write it like http://localhost:8080.")
    return base_url


def connectable(base_url: str) -> str:
    """Replace a slug host: browsers find `{slug}.localhost`, Python does not; the credential says the project anyway.

    >>> connectable("http://demo.localhost:8080")
    'http://127.0.0.1:8080'
    """
    return re.sub(r"^(https?://)[^/:@]+\.localhost(?=[:/]|$)", r"\g<1>127.0.0.1", base_url)


def _one_of(entries: list[dict[str, Any]], wanted: str, *, names: tuple[str, ...], noun: str) -> str:
    for name in names:
        found = [entry for entry in entries if str(entry.get(name)) == wanted]
        if len(found) == 1:
            return str(found[0]["id"])
        if found:
            raise UsageError(f"{len(found)} {noun}s have the {name} {wanted!r}.", hint="Give its id.")
    raise UsageError(f"There is no {noun} {wanted!r}.", hint=f"List them with `behest {noun} list`.")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _known(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _decoded(response: httpx.Response) -> object:
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

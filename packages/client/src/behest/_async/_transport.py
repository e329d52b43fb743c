"""Sends requests, tries again where that can help, and turns refusals and broken connections into errors."""

from __future__ import annotations

import logging
import random
import threading

import httpx
from behest_protocol import headers as names

from .._address import address_of
from .._config import ResolvedConfig
from .._errors import BehestConfigError, BehestError
from .._retry import RetryPolicy
from .._synchronization import async_sleep
from .._version import __version__
from .._wire import CONNECT_SECONDS, Ask, read_refusal, unreachable

logger = logging.getLogger("behest")


class AsyncTransport:
    """The connections to one gateway.

    Attributes:
        address: Where they lead.

    Raises:
        BehestConfigError: The given HTTP client is of another kind.
    """

    def __init__(self, config: ResolvedConfig) -> None:
        given = config.http_client
        if given is not None and not isinstance(given, httpx.AsyncClient):
            raise BehestConfigError("http_client must be an httpx.AsyncClient.", code="invalid_option")
        self.address = address_of(config.base_url)
        self._config = config
        self._given = given
        self._own: httpx.AsyncClient | None = None
        self._closed = False
        self._guard = threading.Lock()
        self._policy = RetryPolicy(max_retries=config.max_retries)

    async def open(self, ask: Ask, *, token: str, session_id: str | None = None) -> httpx.Response:
        """Send a request; return the accepted answer with its body unread. Whoever gets it closes it.

        Raises:
            BehestError: The gateway refused, could not be reached, or broke off.
        """
        http = self._http()
        retries = 0
        while True:
            try:
                response = await http.send(self._request(http, ask, token, session_id), stream=True, auth=None)
            except httpx.HTTPError as problem:
                error: BehestError = unreachable(self._config.base_url, problem)
                wait = self._policy.after_silence(
                    problem, repeatable=ask.repeatable, retries=retries, chance=random.random()
                )
                if wait is None:
                    raise error from problem
            else:
                if response.is_success:
                    return response
                error = read_refusal(await self.read(response))
                wait = self._policy.after_answer(error, response.headers, retries=retries, chance=random.random())
                if wait is None:
                    raise error
            retries += 1
            logger.debug("%s %s: %s; trying again in %.2f s (%d)", ask.method, ask.path, error.code, wait, retries)
            await async_sleep(wait)

    async def read(self, response: httpx.Response) -> httpx.Response:
        """Read the whole body of an answer.

        Raises:
            BehestServerError: The connection broke off.
        """
        try:
            await response.aread()
        except httpx.HTTPError as problem:
            await response.aclose()
            raise unreachable(self._config.base_url, problem) from problem
        return response

    async def close(self) -> None:
        """Close the connections, unless they are the caller's own."""
        with self._guard:
            own, self._own, self._closed = self._own, None, True
        if own is not None:
            await own.aclose()

    def _http(self) -> httpx.AsyncClient:
        # Made at the first call, so that a program which only signs tokens never pays for it.
        with self._guard:
            if self._closed:
                raise BehestError("This client is closed.", code="client_closed")
            if self._given is not None:
                return self._given
            if self._own is None:
                self._own = httpx.AsyncClient(
                    trust_env=not self._config.is_loopback,
                    limits=httpx.Limits(max_connections=1_000, max_keepalive_connections=100),
                )
            return self._own

    def _request(self, http: httpx.AsyncClient, ask: Ask, token: str, session_id: str | None) -> httpx.Request:
        headers = httpx.Headers(ask.headers)
        headers["Authorization"] = f"Bearer {token}"
        headers["User-Agent"] = f"behest-python/{__version__}"
        if self.address.host is not None:
            headers["Host"] = self.address.host
        if session_id is not None:
            headers[names.SESSION_ID] = session_id
        if ask.body is not None:
            headers["Content-Type"] = "application/json"
        request = http.build_request(
            ask.method,
            self.address.url + ask.path,
            params=dict(ask.query) or None,
            content=ask.body,
            headers=headers,
        )
        timeout = ask.timeout if ask.timeout is not None else self._config.timeout
        if timeout is None and self._given is None:
            timeout = httpx.Timeout(ask.silence, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        if timeout is not None:
            request.extensions["timeout"] = httpx.Timeout(timeout).as_dict()
        return request

"""Running the provider on a socket: in the caller's event loop, in a thread of its own, or in a process of its own."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar, Unpack

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from behest_fakes.app import ConfigFields, ProviderApp, Settings
from behest_fakes.bill import Bill
from behest_fakes.script import RuleFields, read_rule

_SEND_BUFFER_BYTES = 64 * 1024
_WRITE_BUFFER_BYTES = 16 * 1024
"""Both small, so that the generator is not far ahead of a caller that does not read. With a send buffer of 32 KiB or
less one event of 2 MB took 0.8 s on loopback, since the kernel waits for acknowledgements; from 64 KiB on, 5 ms."""
_KEEP_ALIVE_SECONDS = 75
_START_SECONDS = 10.0
_STOP_SECONDS = 5.0

_T = TypeVar("_T")


class _Protocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, which also shows the application the transport, so that it can cut it."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state)
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self.app_state = {"transport": transport}


class FakeProvider:
    """A fake OpenAI provider in the running event loop.

    >>> import asyncio
    >>> async def main() -> None:
    ...     async with FakeProvider() as provider:
    ...         provider.script(reply="Hello.", when={"contains": "hi"})
    ...         ...  # an OpenAI client on provider.openai_base_url
    ...         print(provider.bill().total_nano_usd)
    >>> asyncio.run(main())
    0
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token_delay_ms: float = 0,
        first_token_delay_ms: float = 0,
        api_key: str | None = None,
        fast: bool = False,
        record: bool = True,
    ) -> None:
        """Prepare a provider; entering it opens the socket.

        Args:
            host: The address to listen at.
            port: The port; 0 for any that is free.
            token_delay_ms: The pace of calls whose rule gives none.
            first_token_delay_ms: The wait before the first token of calls whose rule gives none.
            api_key: When given, `/v1` asks for it as a Bearer token.
            fast: Answer every unscripted call with one fixed reply of 30 tokens.
            record: Keep every call on the bill; False keeps counters only.
        """
        self._host = host
        self._port = port
        self._app = ProviderApp(
            Settings(
                token_delay_ms=token_delay_ms, first_token_delay_ms=first_token_delay_ms, api_key=api_key, fast=fast
            ),
            record=record,
        )
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """Where the provider is, without a path: `http://127.0.0.1:PORT`."""
        if self._server is None:
            raise RuntimeError("the provider is not running; enter it with `async with`")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def openai_base_url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"{self.base_url}/v1"

    def script(self, **rule: Unpack[RuleFields]) -> str:
        """Add a rule, with the fields of `POST /_fake/script`; return its id.

        Raises:
            ScriptError: A field is unknown, missing or of the wrong type.
        """
        return self._app.script.add(read_rule(rule))

    def clear_script(self) -> None:
        """Drop every rule."""
        self._app.script.clear()

    def configure(self, **settings: Unpack[ConfigFields]) -> None:
        """Change settings and prices, with the fields of `POST /_fake/config`.

        Raises:
            ConfigError: A setting is unknown or has the wrong type.
        """
        self._app.configure({**settings})

    def bill(self, *, since: int = 0, client_request_id: str | None = None) -> Bill:
        """The bill, or the part from the `since`-th call on, or of one client request."""
        return self._app.book.bill(since=since, client_request_id=client_request_id)

    async def settled(self, *, calls: int | None = None, timeout: float = 5.0) -> Bill:
        """Wait until no call runs and at least `calls` were made; return the bill.

        Raises:
            TimeoutError: That did not happen within `timeout` seconds.
        """
        await self._app.book.until(running=0, count=calls, timeout=timeout)
        return self.bill()

    async def called(self, calls: int, *, timeout: float = 5.0) -> Bill:
        """Wait until at least `calls` calls were made, running or not; return the bill.

        Raises:
            TimeoutError: That did not happen within `timeout` seconds.
        """
        await self._app.book.until(count=calls, timeout=timeout)
        return self.bill()

    def reset(self) -> None:
        """Forget the calls and the rules; settings and prices stay."""
        self._app.reset()

    async def __aenter__(self) -> FakeProvider:
        config = Config(
            self._app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        config.load()
        self._state.default_headers = [(b"server", b"behest-fakes")]
        loop = asyncio.get_running_loop()
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._server = await loop.create_server(lambda: _Protocol(config, self._state, {}), sock=listener, backlog=2048)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        tasks = list(self._state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        await asyncio.sleep(0)
        self._server = None


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket's beginning; its connections inherit the small send buffer."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, proto, _, address = found[0]
    listener = socket.socket(family, kind, proto)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        listener.bind(address)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class RunningProvider:
    """A fake provider that runs in a thread of its own, for code without an event loop; `running_provider` makes it."""

    def __init__(self, provider: FakeProvider, loop: asyncio.AbstractEventLoop) -> None:
        self._provider = provider
        self._loop = loop
        self.base_url = provider.base_url
        self.openai_base_url = provider.openai_base_url

    def script(self, **rule: Unpack[RuleFields]) -> str:
        """Add a rule, with the fields of `POST /_fake/script`; return its id.

        Raises:
            ScriptError: A field is unknown, missing or of the wrong type.
        """
        return self._in_loop(lambda: self._provider.script(**rule))

    def clear_script(self) -> None:
        """Drop every rule."""
        self._in_loop(self._provider.clear_script)

    def configure(self, **settings: Unpack[ConfigFields]) -> None:
        """Change settings and prices, with the fields of `POST /_fake/config`.

        Raises:
            ConfigError: A setting is unknown or has the wrong type.
        """
        self._in_loop(lambda: self._provider.configure(**settings))

    def bill(self, *, since: int = 0, client_request_id: str | None = None) -> Bill:
        """The bill, or the part from the `since`-th call on, or of one client request."""
        return self._in_loop(lambda: self._provider.bill(since=since, client_request_id=client_request_id))

    def settled(self, *, calls: int | None = None, timeout: float = 5.0) -> Bill:
        """Wait until no call runs and at least `calls` were made; return the bill.

        Raises:
            TimeoutError: That did not happen within `timeout` seconds.
        """
        return self._await(lambda: self._provider.settled(calls=calls, timeout=timeout), timeout)

    def called(self, calls: int, *, timeout: float = 5.0) -> Bill:
        """Wait until at least `calls` calls were made, running or not; return the bill.

        Raises:
            TimeoutError: That did not happen within `timeout` seconds.
        """
        return self._await(lambda: self._provider.called(calls, timeout=timeout), timeout)

    def reset(self) -> None:
        """Forget the calls and the rules; settings and prices stay."""
        self._in_loop(self._provider.reset)

    def _in_loop(self, step: Callable[[], _T]) -> _T:
        async def run() -> _T:
            return step()

        return self._await(run, 0)

    def _await(self, step: Callable[[], Coroutine[Any, Any, _T]], seconds: float) -> _T:
        """Run a step in the provider's loop, or in a loop of its own when the provider has ended: the bill stays."""
        if self._loop.is_closed():
            return asyncio.run(step())
        return asyncio.run_coroutine_threadsafe(step(), self._loop).result(seconds + _STOP_SECONDS)


@contextmanager
def running_provider(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token_delay_ms: float = 0,
    first_token_delay_ms: float = 0,
    api_key: str | None = None,
    fast: bool = False,
    record: bool = True,
) -> Generator[RunningProvider]:
    """Run a fake provider in a thread while the block runs; the arguments are those of `FakeProvider`.

    >>> with running_provider() as provider:
    ...     provider.bill().count
    0
    """
    provider = FakeProvider(
        host=host,
        port=port,
        token_delay_ms=token_delay_ms,
        first_token_delay_ms=first_token_delay_ms,
        api_key=api_key,
        fast=fast,
        record=record,
    )
    ready: Future[tuple[RunningProvider, Callable[[], object]]] = Future()

    async def serve() -> None:
        stopping = asyncio.Event()
        async with provider:
            loop = asyncio.get_running_loop()
            ready.set_result((RunningProvider(provider, loop), lambda: loop.call_soon_threadsafe(stopping.set)))
            await stopping.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="behest-fakes", daemon=True)
    thread.start()
    running, stop = ready.result(_START_SECONDS)
    try:
        yield running
    finally:
        stop()
        thread.join(2 * _STOP_SECONDS)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The fastest event loop there is here."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()

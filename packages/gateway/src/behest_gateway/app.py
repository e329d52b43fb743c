"""The composition root: settings become adapters, adapters become stages, stages become one server.

No other file names concrete classes of another layer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from behest_protocol.claims import ISSUERS

from behest_gateway.adapters.keys import KeyWorks
from behest_gateway.adapters.memory import MemoryDirectory
from behest_gateway.adapters.network import HttpSender
from behest_gateway.adapters.prices import PriceTable, read_overrides
from behest_gateway.adapters.rates import MemoryRates
from behest_gateway.adapters.sql.analytics import SqlAnalytics
from behest_gateway.adapters.sql.control import ControlStore
from behest_gateway.adapters.sql.database import Database
from behest_gateway.adapters.sql.events import SqlEvents
from behest_gateway.adapters.sql.exports import SqlExports
from behest_gateway.adapters.sql.ledger import SqlLedger
from behest_gateway.adapters.sql.threads import SqlThreads
from behest_gateway.adapters.sql.usage import SqlUsage
from behest_gateway.adapters.sql.webhooks import SqlWebhooks
from behest_gateway.adapters.vault import Vault, load_master_key
from behest_gateway.adapters.webhooks import WebhookSender
from behest_gateway.control.delivering import Deliverer
from behest_gateway.control.operators import Operators
from behest_gateway.control.publishing import PUBLISHED_ALLOWANCES, Publishing
from behest_gateway.control.threads import prune as prune_threads
from behest_gateway.core.clock import SystemClock
from behest_gateway.core.exchange import Provider
from behest_gateway.core.switches import Running
from behest_gateway.http.bridge import AsgiApp
from behest_gateway.http.data_api import DataApi
from behest_gateway.http.front import Front
from behest_gateway.http.health import Health
from behest_gateway.http.server import HttpServer, Limits
from behest_gateway.mint.actions import Minter
from behest_gateway.mint.signing import MintingKeys
from behest_gateway.pipeline import Stages
from behest_gateway.settings import Settings
from behest_gateway.stages.admit.stage import Admit
from behest_gateway.stages.authenticate.stage import Authenticate
from behest_gateway.stages.compose.stage import Recall
from behest_gateway.stages.door.addresses import networks_of
from behest_gateway.stages.door.stage import Door, Doorstep
from behest_gateway.stages.record.stage import Record
from behest_gateway.stages.route.stage import Route
from behest_gateway.stages.upstream.stage import Upstream

OFFICIAL_HOSTS = ("https://api.openai.com/",)
EXPIRE_EVERY_SECONDS = 30.0
PRUNE_EVERY_SECONDS = 3600.0
COUNTED_ADDRESSES = 100_000
"""How many client addresses are counted at once; some 30 MB."""

_log = logging.getLogger("behest")


class Gateway:
    """A gateway that is built and can serve, once."""

    def __init__(
        self,
        front: Front,
        settings: Settings,
        start: Callable[[], Awaitable[None]],
        end: Callable[[], None],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        self._end = end
        self._front = front
        self._settings = settings
        self._start = start
        self._stop = stop

    @asynccontextmanager
    async def serving(self, listener: socket.socket, backlog: int) -> AsyncGenerator[None]:
        """Serve a listening socket until the block is left; then end what is under way, and close everything.

        Raises:
            VaultError, OperatorSecretError: It cannot start; the message says why.
        """
        settings = self._settings
        limits = Limits(body_bytes=settings.max_body_bytes, request_seconds=settings.body_timeout)
        server = HttpServer(self._front.serve, self._front.refuse, limits)
        try:
            await self._start()
            await server.start(listener, backlog)
            try:
                yield
            finally:
                self._end()
                await server.stop(settings.shutdown_seconds)
        finally:
            await self._stop()


def build(settings: Settings) -> Gateway:
    """Build the gateway. The data directory is opened, and locked, at once.

    Raises:
        DatabaseError, VaultError, PriceFileError: It cannot start; the message says why.
    """
    clock = SystemClock()
    prices = PriceTable(clock, read_overrides(settings.price_overrides))
    database = Database(settings.data_dir, synchronous=settings.synchronous)
    try:
        store = ControlStore(database)
        vault = Vault(load_master_key(settings.data_dir, settings.encryption_key, in_use=store.has_sealed))
        threads = SqlThreads(database, vault, clock, seals=settings.encrypt_threads)
        ledger = SqlLedger(database, clock, threads.write)
    except BaseException:
        database.close()
        raise
    directory = MemoryDirectory()
    works = KeyWorks()
    sender = HttpSender(
        connect_timeout=settings.upstream_connect_timeout,
        timeout=settings.upstream_timeout,
        idle_timeout=settings.upstream_idle_timeout,
    )
    provider = Provider(
        name="openai",
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key,
        official=settings.openai_base_url.startswith(OFFICIAL_HOSTS),
    )
    authenticate = Authenticate(directory, clock, frozenset({*ISSUERS, settings.issuer}))
    minting_keys = MintingKeys(store, vault, works, directory, clock)
    minter = Minter(directory, minting_keys, works, clock, issuer=settings.issuer)
    operators = Operators(store, works)
    directory.on_withdraw(authenticate.forget)
    directory.on_withdraw(minter.forget)
    running = Running()
    directory.on_kill(running.stop)
    stages = Stages(
        door=Door(directory, MemoryRates(), settings.base_domain),
        authenticate=authenticate,
        recall=Recall(threads),
        route=Route(directory, prices, provider),
        admit=Admit(ledger, int(settings.upstream_timeout)),
        upstream=Upstream(sender),
        record=Record(ledger),
        running=running,
    )
    data = DataApi(stages, clock, prices, provider.name, SqlUsage(database, ledger.known_user), ledger.state, threads)
    publishing = Publishing(store, directory, PUBLISHED_ALLOWANCES if settings.plan_allowances else {})
    events, webhooks = SqlEvents(database), SqlWebhooks(database)
    webhook_sender = WebhookSender(allow_private=settings.webhooks_allow_private)
    deliverer = Deliverer(webhooks, webhook_sender, vault, database.feed, clock)
    background: set[asyncio.Task[None]] = set()

    def management() -> AsgiApp:
        from behest_gateway.http.management_api import management_app
        from behest_gateway.http.management_services import ManagementServices

        services = ManagementServices.over(
            store=store,
            publisher=directory,
            users=ledger,
            counters=ledger,
            analytics=SqlAnalytics(database),
            exports=SqlExports(database),
            event_log=events,
            webhook_store=webhooks,
            seal=vault,
            allow_private_webhooks=settings.webhooks_allow_private,
            works=works,
            operators=operators,
            minting_keys=minting_keys,
            verifier=authenticate,
            clock=clock,
            base_domain=settings.base_domain,
            publishing=publishing,
            sells_plans=settings.plan_allowances,
        )
        return management_app(services)

    async def expire_for_ever() -> None:
        while True:
            await asyncio.sleep(EXPIRE_EVERY_SECONDS)
            late = ledger.expire()
            if late:
                _log.error("%d holds outlived their time and were booked in full", late)

    async def prune_for_ever() -> None:
        while True:
            try:
                await events.prune(clock.now_us())
            except Exception:
                _log.exception("old events could not be forgotten; it is tried again")
            try:
                await prune_threads(threads, directory, clock)
            except Exception:
                _log.exception("old conversations could not be forgotten; it is tried again")
            await asyncio.sleep(PRUNE_EVERY_SECONDS)

    async def start() -> None:
        await minting_keys.ensure()
        made = await operators.ensure(settings.admin_token)
        publishing.everything()
        if made is not None:
            sys.stderr.write(
                f"\nThe operator's secret, shown this once:\n\n    {made}\n\n"
                "Keep it as BEHEST_ADMIN_TOKEN; it is sent as a Bearer token or as X-Admin-Secret.\n\n"
            )
        if ledger.recovered:
            _log.warning("%d attempts were under way when the gateway died; each is booked in full", ledger.recovered)
        for work in (expire_for_ever(), prune_for_ever(), deliverer.run()):
            background.add(asyncio.create_task(work))

    async def stop() -> None:
        for task in background:
            task.cancel()
        await deliverer.close()
        webhook_sender.close()
        sender.close()
        ledger.close()
        database.close()
        works.close()

    front = Front(
        stages=stages,
        doorstep=Doorstep(
            MemoryRates(capacity=COUNTED_ADDRESSES), settings.ip_rpm_limit, networks_of(settings.trusted_proxies or "")
        ),
        directory=directory,
        clock=clock,
        data=data,
        minter=minter,
        health=Health(version("behest-gateway"), lambda: ledger.healthy),
        management=management,
        base_domain=settings.base_domain,
        access_log=settings.access_log,
    )
    return Gateway(front, settings, start, database.feed.close, stop)

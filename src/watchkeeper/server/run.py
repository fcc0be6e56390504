"""The composition root: builds every part of the server, runs them, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

import psutil
import structlog
import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from watchkeeper.clock import Clock, SystemClock
from watchkeeper.define.render.prometheus import rule_file
from watchkeeper.define.rules import shipped_rules
from watchkeeper.errors import (
    ConfigFileError,
    EscalationFileError,
    RuleFileError,
    SettingError,
    StartError,
)
from watchkeeper.server.alerts.assembly import load_routes
from watchkeeper.server.alerts.config.intervals import contains
from watchkeeper.server.alerts.config.model import Config
from watchkeeper.server.alerts.delivery import Senders
from watchkeeper.server.alerts.dispatcher import Dispatcher, DispatchParts
from watchkeeper.server.alerts.escalation.assembly import Escalating, load_book, outlets_of
from watchkeeper.server.alerts.escalation.model import Escalation
from watchkeeper.server.alerts.escalation.outlets import Outlets
from watchkeeper.server.alerts.explain import Explainer
from watchkeeper.server.alerts.notification import Links, Notification
from watchkeeper.server.alerts.receivers import build_senders
from watchkeeper.server.api import (
    alertmanager,
    alerts,
    health,
    incidents,
    loki,
    otlp,
    prometheus,
    reload,
    tempo,
)
from watchkeeper.server.http import Gate
from watchkeeper.server.promql.engine import Engine
from watchkeeper.server.rules.client import QueryClient
from watchkeeper.server.rules.evaluation import Parts
from watchkeeper.server.rules.manager import RuleManager, RuleText
from watchkeeper.server.rules.sources import RuleSources
from watchkeeper.server.scrape.scraper import Scraper
from watchkeeper.server.selfmetrics import ServerMetrics
from watchkeeper.server.settings import ServerSettings
from watchkeeper.server.store.store import Store
from watchkeeper.server.web import files

__all__ = ["Server", "build", "serve"]

_UPKEEP_S = 30.0
_DRAIN_S = 5
_BACKLOG = 512
_CONNECTIONS_MAX = 512
_log = structlog.get_logger("watchkeeper.server")


class Server:
    """Every part of the embedded server, ready to be run.

    Attributes:
        app: The ASGI application; its lifespan starts and stops the background parts.
        store: The open store.
        metrics: The server's own metrics.
    """

    def __init__(self, settings: ServerSettings, clock: Clock) -> None:
        """Open the store and put the parts together; see `build`."""
        self.settings = settings
        self.clock = clock
        self.metrics = ServerMetrics()
        config = load_routes(settings.alertmanager_config, settings.slack_webhook_url)
        book = load_book(settings.escalation_file, config.receivers)
        self._outlets: Outlets = {}
        self.store = Store.open(
            settings.data_dir, clock=clock, settings=settings.store, metrics=self.metrics
        )
        try:
            self._assemble(config, book)
        except BaseException:
            # Or the next server would find the directory locked.
            self.store.close()
            raise

    def _assemble(self, config: Config, book: Escalation) -> None:
        settings, clock = self.settings, self.clock
        self.scraper = Scraper(
            self.store,
            self.metrics,
            clock,
            directory=settings.targets_dir,
            interval_s=settings.scrape_interval_s,
            itself=f"127.0.0.1:{settings.port}",
            static=settings.scrape_targets,
        )
        self._watch_itself()
        self.explainer = Explainer.in_process(self._ask_itself, self.url)
        self.dispatcher = Dispatcher(
            DispatchParts(
                store=self.store,
                counts=self.metrics,
                clock=clock,
                build_senders=self._build_senders,
                within=contains,
                external_url=self.url,
                explain=self.explainer.of,
                escalate=self._escalate,
                acknowledge=self._links_of_incident,
            ),
            config,
        )
        self.escalating = Escalating(
            self.store,
            self.metrics,
            clock,
            data_dir=settings.data_dir,
            book=book,
            outlets=self._outlets,
            external_url=self.url,
        )
        shipped = RuleText("shipped", rule_file(shipped_rules()))
        self._rule_sources = RuleSources(settings.rule_files, (shipped,))
        self.rules = self._load_rules()
        engine = Engine(self.store, clock=clock)
        routes = [
            *health.routes(self.store, self.metrics, clock, lambda: self.rules.errors),
            *reload.routes(self.reload),
            *otlp.routes(self.store, self.metrics, clock),
            *prometheus.routes(engine, self.store, self.rules, self.scraper, clock=clock),
            *tempo.routes(self.store),
            *loki.routes(self.store, clock),
            *alerts.routes(self.store),
            *alertmanager.routes(self.dispatcher, self.metrics),
            *incidents.routes(self.escalating.runner, self.escalating.keys, clock),
            *files.routes(),
        ]
        self._inner = Starlette(routes=routes, lifespan=self._lifespan)
        self.app = Gate(self._inner, self.metrics, clock)

    @property
    def url(self) -> str:
        """Where a browser finds this server."""
        outside = self.settings.external_url.rstrip("/")
        return outside or f"http://127.0.0.1:{self.settings.port}"

    def _load_rules(self) -> RuleManager:
        elsewhere = self.settings.prometheus_url
        parts = Parts(
            store=self.store,
            client=(
                QueryClient.at(elsewhere) if elsewhere else QueryClient.in_process(self._ask_itself)
            ),
            remote=bool(elsewhere),
            sink=self.dispatcher,
            counts=self.metrics,
            clock=self.clock,
            external_url=self.url,
        )
        rules = RuleManager(parts, interval_s=self.settings.eval_interval_s)
        self.metrics.follow("watchkeeper.server.rule.files_refused", lambda: len(rules.errors))
        self.metrics.follow("watchkeeper.server.rule.reload_time", lambda: rules.good_ms / 1000)
        errors = rules.load(self._rule_sources.find())
        if errors:
            raise RuleFileError("; ".join(errors.values()))
        return rules

    async def reload(self) -> dict[str, str]:
        """Read the rule files, the ``alertmanager.yml`` and the escalation file anew.

        Returns:
            What is wrong, by file; the rules and routes of such a file stay as they were.

        Raises:
            StoreError: What became of alerts whose rules are gone could not be committed.
        """
        errors = await self.rules.reload(await to_thread.run_sync(self._rule_sources.find))
        settings = self.settings
        file, escalation = settings.alertmanager_config, settings.escalation_file
        if file is None and escalation is None:
            return errors
        try:
            config = await to_thread.run_sync(load_routes, file, settings.slack_webhook_url)
            book = await to_thread.run_sync(load_book, escalation, config.receivers)
            await self.dispatcher.reload(config)
            self.escalating.use(self._outlets, book)
        except (ConfigFileError, SettingError) as error:
            _log.error("routes refused", file=str(file), error=str(error))
            self.metrics.count("watchkeeper.server.refused", "alerts", "alertmanager_config")
            errors[str(file)] = str(error)
        except EscalationFileError as error:
            _log.error("escalation refused", file=str(escalation), error=str(error))
            self.metrics.count("watchkeeper.server.refused", "alerts", "escalation_file")
            errors[str(escalation)] = str(error)
        return errors

    def _build_senders(self, config: Config) -> Senders:
        """Return the senders of *config*, which escalation uses too."""
        senders = build_senders(config)
        self._outlets = outlets_of(config, senders)
        return senders

    async def _escalate(self, notes: Sequence[Notification]) -> None:
        await self.escalating.runner.on_flushes(notes)

    async def _links_of_incident(self, note: Notification) -> Links:
        return await self.escalating.links_for(note)

    async def _ask_itself(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a query of our own rules: the same routes, without a socket between."""
        await self._inner(scope, receive, send)

    def _watch_itself(self) -> None:
        began_ns = self.clock.monotonic_ns()
        self.metrics.follow(
            "watchkeeper.server.uptime", lambda: (self.clock.monotonic_ns() - began_ns) / 1e9
        )
        self.metrics.follow("watchkeeper.server.memory", resident_bytes)
        self.metrics.follow(
            "watchkeeper.server.disk.utilization", lambda: disk_share(self.settings.data_dir)
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self.scraper.start()
        self.escalating.start()
        self.dispatcher.start()
        await self.rules.start()
        upkeep = asyncio.create_task(self._keep_up())
        try:
            yield
        finally:
            upkeep.cancel()
            await asyncio.gather(upkeep, return_exceptions=True)
            await self.rules.stop()
            await self.escalating.stop()
            await self.dispatcher.stop()
            await self.explainer.aclose()
            await self.scraper.stop()
            await to_thread.run_sync(self.store.close)

    async def _keep_up(self) -> None:
        while True:
            try:
                await to_thread.run_sync(self.store.maintain)
            except Exception:  # noqa: BLE001 - the next round tries again
                _log.exception("store.upkeep_failed")
            await asyncio.sleep(_UPKEEP_S)


def resident_bytes() -> float:
    """Return the resident memory of this process in bytes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a kernel file, often read
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def disk_share(folder: Path) -> float:
    """Return the share in use of the file system of *folder*, 0 to 1, as ``df`` counts it."""
    usage = shutil.disk_usage(folder)
    return usage.used / ((usage.used + usage.free) or 1)


def build(settings: ServerSettings, *, clock: Clock) -> Server:
    """Open the store and put every part together; nothing runs yet.

    Raises:
        StoreError: The data directory cannot be used.
        RuleFileError: A rule file cannot be loaded.
    """
    return Server(settings, clock)


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket.

    Raises:
        StartError: The port is in use, or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)  # says at once if another process listens already
    except OSError as error:
        listener.close()
        holder = _holder(port)
        raise StartError(
            f"cannot listen: got port {port} on {host} ({error.strerror}{holder}). "
            "Accepted: a free port. Next: stop the program that holds it, or choose another port."
        ) from None
    listener.set_inheritable(True)
    return listener


def _holder(port: int) -> str:
    """Return who listens on a port, as far as it can be seen, to be shown in a message."""
    with contextlib.suppress(psutil.Error, OSError):
        for entry in psutil.net_connections(kind="tcp"):
            listens = entry.status == psutil.CONN_LISTEN and tuple(entry.laddr)[1:] == (port,)
            if listens and entry.pid:
                return f", held by process {entry.pid}, {psutil.Process(entry.pid).name()}"
    return ""


def _sockets(settings: ServerSettings) -> list[socket.socket]:
    """Return the main socket, and the one on OTLP's port if that is free."""
    sockets = [bind(settings.host, settings.port)]
    if settings.otlp_port not in (0, settings.port):
        try:
            sockets.append(bind(settings.host, settings.otlp_port))
        except StartError as error:
            _log.warning("otlp_port.busy", port=settings.otlp_port, reason=str(error))
    return sockets


class _Uvicorn(uvicorn.Server):
    """Ends with exit code 0 after one signal; a second one ends the process at once.

    SIGHUP calls *reload* in the event loop. If the terminal on which the server was started is
    gone, SIGHUP means what it means to other programs: the end.
    """

    def __init__(
        self, config: uvicorn.Config, reload: Callable[[], Coroutine[None, None, object]]
    ) -> None:
        super().__init__(config)
        self._reload = reload
        self._reloading: set[asyncio.Task[object]] = set()
        self._on_terminal = os.isatty(sys.stdin.fileno()) if sys.stdin else False

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def] # the base class's generator
        """Install our handlers for as long as the server runs."""
        before = {s: signal.signal(s, self._end) for s in (signal.SIGINT, signal.SIGTERM)}
        loop = asyncio.get_running_loop()
        before[signal.SIGHUP] = signal.signal(
            signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._hang_up)
        )
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hang_up(self) -> None:
        if self._on_terminal and not os.isatty(sys.stdin.fileno()):
            self.should_exit = True
            return
        task = asyncio.create_task(self._reload(), name="reload")
        self._reloading.add(task)
        task.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Task[object]) -> None:
        self._reloading.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("reload failed", error=str(task.exception()))

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(1)
        self.should_exit = True


def configure_logs() -> None:
    """Write the server's own log to stderr: JSON, or readable on a terminal."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def serve(settings: ServerSettings) -> int:
    """Run the server until SIGINT or SIGTERM.

    Returns:
        The exit code: 0 after a graceful stop.

    Raises:
        StartError: A port cannot be used.
        StoreError: The data directory cannot be used.
        RuleFileError: A rule file cannot be loaded.
    """
    configure_logs()
    os.umask(0o077)  # whatever we write is for the owner only
    sockets = _sockets(settings)
    server = build(settings, clock=SystemClock())
    config = uvicorn.Config(
        server.app,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=_DRAIN_S,
        server_header=False,
        h11_max_incomplete_event_size=65_536,
        limit_concurrency=_CONNECTIONS_MAX,
    )
    _log.info("serving", url=f"http://{settings.host}:{settings.port}", data=str(settings.data_dir))
    running = _Uvicorn(config, server.reload)
    asyncio.run(running.serve(sockets=sockets))
    _log.info("stopped")
    return 0 if running.started else 1

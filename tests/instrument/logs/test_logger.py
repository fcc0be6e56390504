"""Loggers: levels, binding, structlog and the standard library's records."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest
import structlog
from tests.instrument.logs.rig import Rig

from watchkeeper.instrument.logs import (
    LEVELS,
    StdlibLogging,
    adopt_structlog,
    get_logger,
    level_for,
    route,
)
from watchkeeper.instrument.logs.bridge import Bridge
from watchkeeper.instrument.logs.logger import release_structlog


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return a rig that all loggers write to."""
    made = Rig()
    route(made.pipeline, LEVELS["info"].number)
    yield made
    route(None, LEVELS["info"].number)


@pytest.fixture
def bridged(rig: Rig) -> Iterator[StdlibLogging]:
    """Return the bridge from the standard library."""
    bridge = StdlibLogging()
    bridge.install(logging.INFO)
    assert rig.lines() == []
    yield bridge
    bridge.uninstall()


def test_levels_are_named_and_filtered(rig: Rig) -> None:
    """Entries below the threshold are dropped; a logger made before follows a change."""
    log = get_logger("a")
    for write in (log.debug, log.info, log.warning, log.error, log.critical):
        write("x")
    route(rig.pipeline, LEVELS["error"].number)
    log.warning("dropped")
    log.log(40, "kept")

    assert ["info", "warning", "error", "critical", "error"] == [
        line["level"] for line in rig.lines()
    ]


def test_binding_makes_a_new_logger(rig: Rig) -> None:
    """Bound fields are in every entry of the new logger, and can be taken away."""
    log = get_logger("a", x=1)
    child = log.bind(y=2)
    child.info("both", z=3)
    child.unbind("x").info("one")
    child.try_unbind("nothing").new(only=4).info("new")
    log.info("first")

    assert [{"x": 1, "y": 2, "z": 3}, {"y": 2}, {"only": 4}, {"x": 1}] == [
        {key: value for key, value in line.items() if key in {"x", "y", "z", "only"}}
        for line in rig.lines()
    ]
    with pytest.raises(KeyError):
        log.unbind("nothing")


@pytest.mark.parametrize(
    ("args", "event"),
    [
        ((), "%s done"),
        (("all",), "all done"),
        (("too", "many"), "%s done ('too', 'many')"),
    ],
)
def test_arguments_fill_the_event(rig: Rig, args: tuple[str, ...], event: str) -> None:
    """``%`` arguments work as in the standard library; those that do not fit are shown."""
    get_logger().info("%s done", *args)

    assert event == rig.line()["event"]


def test_fields_may_have_any_name(rig: Rig) -> None:
    """A field called as an argument of ours, or as a key of the line, is a field and no error."""
    log = get_logger("n").bind(self="a")
    log.info("paid", event="order", self="b", level="gold")
    log.log(20, "paid", level=3)
    log.info(event="by keyword")
    first, second, third = rig.lines()
    assert ("paid", "order", "b", "gold") == (
        first["event"],
        first["event_"],
        first["self"],
        first["level_"],
    )
    assert 3 == second["level_"]
    assert ("by keyword", "a") == (third["event"], third["self"])


def test_exception_takes_the_one_being_handled(rig: Rig) -> None:
    """``log.exception`` records the current exception at level error."""
    try:
        int("x")
    except ValueError:
        get_logger().exception("failed")

    assert ("error", "ValueError") == (
        rig.line()["level"],
        rig.line()["exception"]["type"],
    )


async def test_the_async_variants_write(rig: Rig) -> None:
    """``await log.ainfo(…)`` does what ``log.info(…)`` does."""
    log = get_logger()
    await log.adebug("no")
    await log.ainfo("a")
    await log.awarning("b")
    await log.aerror("c")
    await log.acritical("d")

    assert ["a", "b", "c", "d"] == [line["event"] for line in rig.lines()]


def test_structlog_hands_out_our_loggers(rig: Rig) -> None:
    """An application's structlog loggers and context variables arrive in the same shape."""
    structlog.reset_defaults()
    early = structlog.get_logger("shop.early")
    assert adopt_structlog()
    with structlog.contextvars.bound_contextvars(cart="c1"):
        early.bind(a=1).warning("from structlog", b=2)
    adopted_again = adopt_structlog()
    structlog.reset_defaults()
    line = rig.line()

    assert not adopted_again
    assert ("shop.early", "warning", "from structlog", 1, 2, "c1") == tuple(
        line[key] for key in ("logger", "level", "event", "a", "b", "cart")
    )


def test_structlog_is_released(rig: Rig) -> None:
    """Releasing gives structlog its defaults back, and leaves what the application set since."""
    structlog.reset_defaults()
    adopt_structlog()
    release_structlog()
    released = not structlog.is_configured()
    structlog.configure(wrapper_class=structlog.stdlib.BoundLogger)
    release_structlog()
    kept = structlog.get_config()["wrapper_class"]
    structlog.reset_defaults()

    assert released
    assert structlog.stdlib.BoundLogger is kept
    assert rig.lines() == []


def test_a_configured_structlog_stays(rig: Rig) -> None:
    """What the application configured itself is not touched."""
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    adopted = adopt_structlog()
    structlog.reset_defaults()

    assert not adopted
    assert rig.lines() == []


def test_records_of_the_standard_library_have_the_same_shape(
    rig: Rig, bridged: StdlibLogging
) -> None:
    """Message, extra, exception, level and logger arrive; the level is that of the root."""
    assert bridged is not None
    third = logging.getLogger("third.party")
    third.debug("dropped")
    try:
        int("x")
    except ValueError:
        third.exception("failed %s", "here", extra={"order_id": 7, "token": "s3"})
    line = rig.line()

    assert ("error", "third.party", "failed here", 7, "[redacted]", "ValueError") == (
        line["level"],
        line["logger"],
        line["event"],
        line["order_id"],
        line["token"],
        line["exception"]["type"],
    )


def test_a_record_that_does_not_fit_its_message_is_kept(rig: Rig) -> None:
    """A formatting mistake of the application costs neither the line nor an error."""
    record = logging.LogRecord("x", 30, __file__, 1, "%d items", ("many",), None)
    Bridge().emit(record)

    assert rig.line()["event"] == "%d items"


def test_warnings_become_entries(rig: Rig, bridged: StdlibLogging) -> None:
    """A Python warning is an entry of the logger ``py.warnings``."""
    assert bridged is not None
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        logging.getLogger("py.warnings").warning("old thing")

    assert ("py.warnings", "warning") == (rig.line()["logger"], rig.line()["level"])


def test_no_line_is_written_twice(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """Console handlers of the root and of servers are set aside while we write, then put back."""
    # The runner attaches handlers of its own to loggers that another test left not propagating.
    runners = set(logging.getLogger("uvicorn.access").handlers)
    runners |= set(logging.getLogger("uvicorn.error").handlers)
    stream = io.StringIO()
    root_handler = logging.StreamHandler(sys.stderr)
    file_like = logging.StreamHandler(stream)
    server = logging.getLogger("uvicorn.error")
    access = logging.getLogger("uvicorn.access")
    logging.getLogger().addHandler(root_handler)
    server.addHandler(file_like)
    console = logging.StreamHandler(sys.stdout)
    access.addHandler(console)
    access.propagate = False
    bridge = StdlibLogging()
    bridge.install(logging.INFO)
    server.info("started")
    access.info("GET /")
    bridge.silence_access_log()
    access.info("GET / silenced")
    during = (set(access.handlers) - runners, access.propagate)
    bridge.uninstall()
    after = (
        set(access.handlers) - runners,
        access.propagate,
        set(server.handlers) - runners,
    )
    access.removeHandler(console)
    access.propagate = True
    server.removeHandler(file_like)
    logging.getLogger().removeHandler(root_handler)
    printed = capsys.readouterr()

    assert ["started", "GET /"] == [line["event"] for line in rig.lines()]
    assert ("", "") == (printed.out, printed.err)
    assert (set(), True) == during
    assert ({console}, False, {file_like}) == after
    assert stream.getvalue() == "started\n"


@pytest.mark.parametrize(
    ("number", "name"),
    [(5, "debug"), (10, "debug"), (25, "info"), (30, "warning"), (45, "error"), (60, "critical")],
)
def test_odd_levels_find_their_place(number: int, name: str) -> None:
    """A number between two levels counts as the lower one."""
    assert name == level_for(number).name


def test_before_configure_lines_are_plain_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A logger used too early writes to the standard output and loses nothing."""
    get_logger("early").info("hello", x=1)

    assert '"event":"hello","x":1' in capsys.readouterr().out


CONFIGURED_LATER = """
import json, logging, sys, watchkeeper
watchkeeper.configure(service="late", endpoint="", log_levels="shop.db=debug")
{how}
logging.getLogger("shop").info("plain")
logging.getLogger("shop.db").debug("deep")
watchkeeper.shutdown()
logging.getLogger("shop").info("after")
"""
DICT = """
    {"version": 1, "disable_existing_loggers": False, "formatters": {"f": {"format": "FOREIGN %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "f"}},
    "root": {"handlers": ["console"], "level": "WARNING"}}
"""
FILE = """[loggers]
keys=root
[handlers]
keys=console
[formatters]
keys=f
[logger_root]
level=WARNING
handlers=console
[handler_console]
class=StreamHandler
formatter=f
args=(sys.stderr,)
[formatter_f]
format=FOREIGN %(message)s
"""


@pytest.mark.parametrize(
    "how",
    [
        f"from logging.config import dictConfig; dictConfig({DICT.strip()})",
        f"import io, logging.config; logging.config.fileConfig(io.StringIO({FILE!r}))",
        "logging.basicConfig(force=True, format='FOREIGN %(message)s', level='WARNING')",
    ],
    ids=["dictConfig", "fileConfig", "basicConfig"],
)
def test_logging_may_be_configured_later(how: str) -> None:
    """Who configures `logging` after us replaces our handler, which comes back; the end is theirs."""
    done = subprocess.run(
        [sys.executable, "-c", CONFIGURED_LATER.format(how=how)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("shop", "plain"), ("shop.db", "deep")] == [
        (line["logger"], line["event"]) for line in lines
    ]
    assert "" == done.stderr


DJANGO = """
import watchkeeper
watchkeeper.configure(service="shop", endpoint="")
import django, logging
from django.conf import settings
settings.configure(DEBUG=True, LOGGING={logging})
django.setup()
logging.getLogger("django.request").warning("Not Found: /x")
"""


@pytest.mark.parametrize(
    "given",
    [
        "{}",
        DICT.strip().replace(
            '"root"', '"loggers": {"django": {"handlers": ["console"], "propagate": False}}, "root"'
        ),
    ],
    ids=["default", "own"],
)
def test_djangos_logging_comes_once_and_in_our_shape(given: str) -> None:
    """Django's logger has a handler of its own, by default and in most applications' settings."""
    done = subprocess.run(
        [sys.executable, "-c", DJANGO.replace("{logging}", given)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [("django.request", "Not Found: /x")] == [
        (line["logger"], line["event"]) for line in lines
    ]
    assert "" == done.stderr

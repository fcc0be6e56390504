"""Lines of loguru, by its real logger, come out as ours and once."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from tests.instrument.logs.rig import Rig
from tests.instrument.rig import attached

from watchkeeper.instrument import context
from watchkeeper.instrument.guard import hook_errors
from watchkeeper.instrument.integrations import loguru as integration
from watchkeeper.instrument.logs import StdlibLogging, route
from watchkeeper.instrument.logs.levels import Thresholds
from watchkeeper.instrument.logs.logger import set_levels


@pytest.fixture
def fresh() -> Iterator[None]:
    """Give loguru the handler that it has at its import, and take away what the test added."""
    logger.remove()
    logger.add(sys.stderr)
    yield
    logger.remove()
    logger.add(sys.stderr)


@pytest.fixture
def rig(fresh: None) -> Iterator[Rig]:
    """Return a rig that all loggers write to, with the integration switched on."""
    del fresh
    made = Rig()
    route(made.pipeline, Thresholds(20, {"noisy": 40}))
    errors = hook_errors().get("logs.loguru", 0)
    with attached() as host:
        undo = integration.instrument(host)
        yield made
        undo()
    route(None, 20)
    assert errors == hook_errors().get("logs.loguru", 0)


def events(rig: Rig) -> list[str]:
    """Return what happened, in order."""
    return [line["event"] for line in rig.lines()]


def test_a_line_has_our_shape(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """Text, module, extra of each kind and our ids are on one line, and nothing else is written."""
    with logger.contextualize(tenant="acme"), context.bind(request_id="r1"):
        logger.bind(order_id=17, event="x").info("order {} paid by {who}", 17, who="ann")
    line = rig.line()
    assert {
        "level": "info",
        "logger": __name__,
        "event": "order 17 paid by ann",
        "service": "shop",
        "request_id": "r1",
        "tenant": "acme",
        "order_id": 17,
        "event_": "x",
        "who": "ann",
    } == {key: value for key, value in line.items() if key != "time"}
    assert 17 == rig.records[0].attributes["order_id"]
    assert ("", "") == capsys.readouterr()


def test_secrets_are_masked(rig: Rig) -> None:
    """Extra under a secret name and secrets in texts do not leave."""
    logger.bind(password="hunter2").warning("from {}", "ann@example.org")
    line = rig.line()
    assert ("[redacted]", "from [redacted:email]") == (line["password"], line["event"])


def test_levels_are_ours(rig: Rig) -> None:
    """Loguru's levels become the next lower one of ours; one that we lack keeps its name."""
    set_levels(Thresholds(0))
    logger.level("NOTICE", no=33)
    for name in ("trace", "debug", "info", "success", "warning", "error", "critical"):
        getattr(logger, name)(name)
    logger.log("NOTICE", "notice")
    logger.log(41, "number")
    assert [
        ("debug", "TRACE"),
        ("debug", None),
        ("info", None),
        ("info", "SUCCESS"),
        ("warning", None),
        ("error", None),
        ("critical", None),
        ("warning", "NOTICE"),
        ("error", "Level 41"),
    ] == [(line["level"], line.get("level_name")) for line in rig.lines()]


def test_levels_follow_ours_at_run_time(rig: Rig) -> None:
    """The level of a module's tree counts, also once it is changed, and loguru drops the rest."""
    seen: list[str] = []
    lazy = logger.opt(lazy=True)

    def ask() -> str:
        seen.append("asked")
        return "x"

    lazy.debug("no {}", ask)
    set_levels(Thresholds(20, {__name__: 10}))
    lazy.debug("yes {}", ask)
    set_levels(Thresholds(10, {__name__: 30}))
    logger.info("no")
    assert (["yes x"], ["asked"]) == (events(rig), seen)


def test_exceptions_are_data(rig: Rig) -> None:
    """What is raised is structured, with frames and cause, without the values of variables."""

    def fail(secret: str) -> None:
        raise KeyError("rate") from ValueError(len(secret))

    try:
        fail("s3cret-value")
    except KeyError:
        logger.exception("failed")
    logger.opt(exception=ValueError("given")).error("told")
    first, second = rig.lines()
    assert ("KeyError", "ValueError") == (
        first["exception"]["type"],
        first["exception"]["chain"][0]["type"],
    )
    assert first["exception"]["frames"][-1]["function"].endswith("fail")
    assert ("ValueError", "given") == (second["exception"]["type"], second["exception"]["message"])
    assert "s3cret" not in rig.out.getvalue()


def test_caught_errors_are_written(rig: Rig) -> None:
    """``logger.catch`` reports through us."""

    @logger.catch
    def divide() -> float:
        return 1 / 0

    divide()
    assert "ZeroDivisionError" == rig.line()["exception"]["type"]


def test_sinks_of_the_application_stay_but_for_standard_streams(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``remove`` and ``configure`` do not take us away; files are written, streams are set aside."""
    path = tmp_path / "app.log"
    logger.remove()
    logger.info("one")
    logger.configure(handlers=[{"sink": sys.stdout}, {"sink": path, "format": "{message}"}])
    logger.info("two")
    number = logger.add(sys.stderr, level="DEBUG")
    logger.info("three")
    logger.remove(number)
    assert ["one", "two", "three"] == events(rig)
    assert "two\nthree\n" == path.read_text()
    assert ("", "") == capsys.readouterr()


@pytest.mark.usefixtures("fresh")
def test_without_our_own_output_streams_stay() -> None:
    """Under ``log_stdout=False`` nothing would be doubled, so loguru's lines are still printed."""
    out = io.StringIO()
    with attached(log_stdout=False) as host:
        before = sys.stderr
        sys.stderr = out
        try:
            logger.add(sys.stderr, format="{message}")
            undo = integration.instrument(host)
            logger.info("seen")
            undo()
        finally:
            sys.stderr = before
    assert "seen\n" == out.getvalue()


class Intercept(logging.Handler):
    """What many applications put on the root logger, so that ``logging`` goes to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record on."""
        logger.opt(depth=6, exception=record.exc_info).log(record.levelname, record.getMessage())


class Propagate(logging.Handler):
    """The other way round: loguru goes to ``logging``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record on."""
        logging.getLogger(record.name).handle(record)


@pytest.mark.parametrize("bridged", [True, False])
def test_lines_that_logging_hands_to_loguru_are_written_once(rig: Rig, *, bridged: bool) -> None:
    """A record comes from the bridge, or from loguru where the bridge does not see it."""
    bridge, root = StdlibLogging(), logging.getLogger()
    handler = Intercept()
    if bridged:
        bridge.install(20)
    root.addHandler(handler)
    level = root.level
    root.setLevel(20)
    try:
        logging.getLogger("third").info("from %s", "logging")
        logger.info("from loguru")
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        if bridged:
            bridge.uninstall()
    assert ["from logging", "from loguru"] == events(rig)


def test_lines_that_loguru_hands_to_logging_are_written_once(rig: Rig) -> None:
    """A record that comes back through ``logging`` is known; others with such a field are not lost."""
    bridge = StdlibLogging()
    bridge.install(20)
    logger.add(Propagate(), format="{message}")
    try:
        logger.info("from loguru")
        logging.getLogger("third").info("from logging", extra={"extra": 1})
    finally:
        bridge.uninstall()
    assert ["from loguru", "from logging"] == events(rig)


def test_values_that_fail_cost_their_line_nothing(rig: Rig) -> None:
    """An extra that cannot be shown is a placeholder, and the application goes on."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    logger.bind(value=Broken()).info("still here")
    assert "still here" == rig.line()["event"]


def test_a_logger_can_be_copied_and_sent(rig: Rig) -> None:
    """Loguru's copies, for other processes or with handlers of their own, still work."""
    logger.remove()
    copies: list[Any] = [copy.deepcopy(logger), pickle.loads(pickle.dumps(logger))]  # noqa: S301 - our own
    for one in copies:
        one.info("copied")
        one.remove()
        one.info("silent")
    assert ["copied", "copied"] == events(rig)
    assert "(watchkeeper)" in repr(logger)


async def test_complete_can_be_awaited(rig: Rig) -> None:
    """``complete`` waits for loguru's own handlers and asks nothing of ours."""
    logger.info("before")
    await logger.complete()
    assert ["before"] == events(rig)


@pytest.mark.usefixtures("fresh")
def test_undo_puts_loguru_back(capsys: pytest.CaptureFixture[str]) -> None:
    """After undo the lines are loguru's again, at the levels that it had."""
    made = Rig()
    route(made.pipeline, 20)
    logger.remove()
    logger.add(sys.stderr)
    add = type(logger).add
    with attached() as host:
        undo = integration.instrument(host)
        logger.add(sys.stdout, format="{message}", level="ERROR")
        undo()
    logger.debug("to stderr")
    logger.error("to both")
    route(None, 20)
    out, err = capsys.readouterr()
    assert [] == made.lines()
    assert "to both\n" == out
    assert "to stderr" in err
    assert add is type(logger).add

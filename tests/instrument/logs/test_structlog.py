"""Applications that configured structlog themselves: their entries take our way too."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from tests.instrument.logs.rig import Rig

from watchkeeper.instrument import context
from watchkeeper.instrument.logs import StdlibLogging, route
from watchkeeper.instrument.logs.levels import Thresholds
from watchkeeper.instrument.logs.structlog import copy, send


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Return a rig that all loggers write to, and put structlog back."""
    made = Rig()
    route(made.pipeline, Thresholds(20, {"noisy": 40}))
    yield made
    route(None, 20)
    structlog.reset_defaults()


def configure(*processors: Any, **options: Any) -> None:
    """Configure structlog as an application might."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *processors],
        cache_logger_on_first_use=False,
        **options,
    )


def test_entries_are_sent_with_their_context(rig: Rig) -> None:
    """Fields, bound context and our ids are on one line of ours, and nothing else is written."""
    own = io.StringIO()
    configure(
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        send,
        logger_factory=structlog.PrintLoggerFactory(own),
    )
    with structlog.contextvars.bound_contextvars(cart="c1"), context.bind(request_id="r1"):
        structlog.get_logger().bind(a=1).warning("paid", password="x")
    line = rig.line()

    assert ("warning", "paid", 1, "c1", "r1", "[redacted]") == tuple(
        line[key] for key in ("level", "event", "a", "cart", "request_id", "password")
    )
    assert "timestamp" not in line
    assert "" == own.getvalue()


def test_an_exception_is_structured(rig: Rig) -> None:
    """``log.exception`` arrives with its frames."""
    configure(send)
    try:
        int("x")
    except ValueError:
        structlog.get_logger().exception("failed")

    assert ("error", "ValueError") == (rig.line()["level"], rig.line()["exception"]["type"])


def test_levels_count_for_structlog(rig: Rig) -> None:
    """A logger's level of ours holds its entries back."""
    configure(
        structlog.stdlib.add_logger_name, send, logger_factory=structlog.stdlib.LoggerFactory()
    )
    structlog.get_logger("noisy").warning("dropped")
    structlog.get_logger("noisy").error("kept")
    structlog.get_logger("quiet").info("kept")

    assert [("noisy", "kept"), ("quiet", "kept")] == [
        (line["logger"], line["event"]) for line in rig.lines()
    ]


def test_a_copy_leaves_the_own_renderer_alone(rig: Rig) -> None:
    """The application's own lines stay as they were, ours come beside them."""
    own = io.StringIO()
    configure(
        copy, structlog.processors.JSONRenderer(), logger_factory=structlog.PrintLoggerFactory(own)
    )
    structlog.get_logger().info("paid", a=1)

    assert '{"a": 1, "event": "paid"}\n' == own.getvalue()
    assert ("paid", 1) == (rig.line()["event"], rig.line()["a"])


def test_structlog_through_logging_is_not_shown_as_a_dict(rig: Rig) -> None:
    """Entries that structlog hands to ``logging`` unrendered keep their fields."""
    configure(
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    bridge = StdlibLogging()
    bridge.install(logging.INFO)
    structlog.get_logger("structlog_shop").info("paid", order_id=7)
    bridge.uninstall()

    assert ("structlog_shop", "paid", 7) == tuple(
        rig.line()[key] for key in ("logger", "event", "order_id")
    )
    assert "_name" not in rig.line()

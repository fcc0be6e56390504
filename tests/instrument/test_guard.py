"""The guard: what it swallows, counts, says and lets through."""

from __future__ import annotations

import logging

import pytest

from watchkeeper.instrument.guard import guard, hook_errors, record_failure, reraising


def test_an_exception_is_swallowed_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same cause again is only counted."""
    for _ in range(3):
        with guard("test.swallow"):
            raise ValueError("secretly broken")
    assert 3 == hook_errors()["test.swallow"]
    (record,) = [r for r in caplog.records if "test.swallow" in r.getMessage()]
    assert "ValueError: secretly broken" in record.getMessage()
    assert ("watchkeeper", "WARNING") == (record.name, record.levelname)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_not_an_error_passes(kind: type[BaseException]) -> None:
    """Exits and interrupts belong to the application."""
    with pytest.raises(kind), guard("test.passes"):
        raise kind
    assert "test.passes" not in hook_errors()


async def test_decorated_functions_return_none_when_they_fail() -> None:
    """The decorator works on functions and coroutine functions, and keeps results."""

    @guard("test.decorated")
    def divide(by: int) -> float:
        return 1 / by

    @guard("test.decorated")
    async def divide_later(by: int) -> float:
        return 1 / by

    assert [0.5, None] == [divide(2), divide(0)]
    assert [0.5, None] == [await divide_later(2), await divide_later(0)]
    assert 2 == hook_errors()["test.decorated"]
    assert "divide" == divide.__name__


def test_logging_a_failure_cannot_recurse(caplog: pytest.LogCaptureFixture) -> None:
    """A log handler that runs a failing hook of ours ends after one message."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with guard("test.recursion"):
                raise RuntimeError(record.name)

    handler = Handler()
    logger = logging.getLogger("watchkeeper")
    logger.addHandler(handler)
    try:
        record_failure("test.recursion", KeyError("first"))
    finally:
        logger.removeHandler(handler)
    assert 2 == hook_errors()["test.recursion"]
    assert 1 == sum("test.recursion" in record.getMessage() for record in caplog.records)


def test_an_error_without_a_text_is_reported() -> None:
    """``str`` of a foreign exception may raise, too."""

    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with guard("test.hostile"):
        raise HostileError
    assert 1 == hook_errors()["test.hostile"]


def test_tests_can_ask_for_the_error() -> None:
    """Inside `reraising` the error is counted and goes on."""
    with reraising(), pytest.raises(ValueError, match="seen"), guard("test.strict"):
        raise ValueError("seen")
    with guard("test.strict"):
        raise ValueError("unseen")
    assert 2 == hook_errors()["test.strict"]

"""Levels of single loggers: ours and those of the standard library."""

from __future__ import annotations

import logging

import pytest
from tests.instrument.logs.rig import Rig

from watchkeeper.errors import SettingError
from watchkeeper.instrument.logs import StdlibLogging, get_logger, route
from watchkeeper.instrument.logs.levels import Thresholds
from watchkeeper.instrument.settings import load


def test_the_longest_name_wins() -> None:
    """A logger has the level of the longest tree it is in, and the default outside of all."""
    levels = Thresholds(20, {"shop": 30, "shop.db": 10, "shop.db.pool": 50})

    assert [30, 10, 50, 30, 20, 20] == [
        levels[name]
        for name in ("shop", "shop.db.query", "shop.db.pool", "shop.dbx", "shopping", "")
    ]


def test_an_empty_name_is_the_default() -> None:
    """The level of the tree "" replaces the default."""
    assert Thresholds(20, {"": 40})["anything"] == 40


def test_made_up_names_do_not_fill_the_memory() -> None:
    """However many names are asked for, a bounded number is remembered."""
    levels = Thresholds(20)
    for number in range(10_000):
        assert levels[f"request.{number}"] == 20

    assert len(levels) <= 4_096


def test_levels_count_for_our_loggers_and_for_logging() -> None:
    """One table decides for loggers of both kinds, and everything is put back afterwards."""
    rig = Rig()
    levels = Thresholds(20, {"levels_shop.db": 10, "levels_noisy": 30})
    bridge = StdlibLogging()
    before = logging.getLogger("levels_noisy").level
    route(rig.pipeline, levels)
    bridge.install(levels.default)
    bridge.set_levels(levels)
    for kind in (get_logger, logging.getLogger):
        kind("levels_shop.db.query").debug("kept")
        kind("levels_shop").debug("dropped")
        kind("levels_noisy.engine").info("dropped")
        kind("levels_noisy.engine").warning("kept")
    bridge.uninstall()
    route(None, 20)

    assert ["kept"] * 4 == [line["event"] for line in rig.lines()]
    assert before == logging.getLogger("levels_noisy").level
    assert logging.NOTSET == logging.getLogger("levels_shop.db").level


def test_a_level_that_is_taken_back_is_restored() -> None:
    """A tree that is no longer named gets back the level that it had before."""
    logger = logging.getLogger("levels_restored")
    logger.setLevel(logging.ERROR)
    bridge = StdlibLogging()
    bridge.install(20)
    bridge.set_levels(Thresholds(20, {"levels_restored": 10}))
    during = logger.level
    bridge.set_levels(Thresholds(20))
    after = logger.level
    bridge.uninstall()
    logger.setLevel(logging.NOTSET)

    assert (logging.DEBUG, logging.ERROR) == (during, after)


@pytest.mark.parametrize(
    "given",
    [
        "sqlalchemy.engine=warning, shop.db=DEBUG",
        {"sqlalchemy.engine": "warn", "shop.db": 10},
        {"sqlalchemy": {"engine": "WARNING"}, "shop": {"db": "debug"}},
    ],
)
def test_levels_are_given_as_text_or_mapping(given: object) -> None:
    """A variable's text, an argument and a TOML table with or without quotes mean the same."""
    assert load({"log_levels": given}, {}).log_levels == {
        "sqlalchemy.engine": "warning",
        "shop.db": "debug",
    }


@pytest.mark.parametrize("given", ["shop", "shop=loud", "=debug", {"shop": "loud"}])
def test_levels_that_cannot_be_read_are_refused(given: object) -> None:
    """A name without a level, or with one that does not exist, is an error that says so."""
    with pytest.raises(SettingError, match="log_levels"):
        load({"log_levels": given}, {})

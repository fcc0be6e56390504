"""What editing and ending a silence means."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.alerting.play import ms

from watchkeeper.errors import SilenceError
from watchkeeper.server.alerts.config.model import Matcher
from watchkeeper.server.alerts.dispatch.silences import RETENTION_MS, Silence, Silences

MATCHERS = (Matcher("alertname", "=", "A"),)
WANTED = Silence("", MATCHERS, ms(0), ms(100), "me", "why")


def kept(*silences: Silence, at: float = 0) -> Silences:
    """Return silences ``s0``, ``s1``, … made at second *at*."""
    table = Silences()
    for number, silence in enumerate(silences):
        table.take(table.plan(silence, ms(at), f"s{number}")[1])
    return table


def states(table: Silences, at: float) -> dict[str, str]:
    """Return the states by id."""
    return {silence.id: silence.state(ms(at)) for silence in table}


def test_a_new_silence_begins_now_at_the_earliest() -> None:
    """A start that has passed becomes now."""
    (silence,) = kept(WANTED, at=7)

    assert (ms(7), ms(100), ms(7)) == (silence.starts_ms, silence.ends_ms, silence.updated_ms)


@pytest.mark.parametrize(("at", "expected"), [(9, "pending"), (10, "active"), (20, "expired")])
def test_states(at: float, expected: str) -> None:
    """Pending before the start, active from it on, expired from the end on."""
    table = kept(replace(WANTED, starts_ms=ms(10), ends_ms=ms(20)))

    assert expected == states(table, at)["s0"]
    assert (("s0",) if expected == "active" else ()) == table.muting({"alertname": "A"}, ms(at))


def edited(table: Silences, at: float, **changes: object) -> str:
    """Edit ``s0`` and return the id under which it is kept."""
    known = table.get("s0")
    assert known is not None
    identity, changed = table.plan(replace(known, **changes), ms(at), "new")  # type: ignore[arg-type] # fields of a silence
    table.take(changed)
    return identity


def test_an_active_silence_can_be_prolonged() -> None:
    """Another end or comment keeps the id."""
    table = kept(WANTED)

    assert "s0" == edited(table, 5, ends_ms=ms(500), comment="longer")
    assert {"s0": "active"} == states(table, 200)


@pytest.mark.parametrize(
    "changes", [{"matchers": (Matcher("alertname", "=", "B"),)}, {"starts_ms": ms(50)}]
)
def test_an_edit_that_would_change_history_makes_a_new_silence(changes: dict[str, object]) -> None:
    """Other matchers, or another start of an active one: the old one ends, a new one begins."""
    table = kept(WANTED)

    assert "new" == edited(table, 5, **changes)
    assert {"s0": "expired", "new": "active"} == states(table, 60)


def test_a_pending_silence_can_be_moved() -> None:
    """Its start may be anything that lies ahead."""
    table = kept(replace(WANTED, starts_ms=ms(50)))

    assert "s0" == edited(table, 5, starts_ms=ms(70))
    assert "new" == edited(table, 5, starts_ms=ms(4))
    assert {"s0": "expired", "new": "active"} == states(table, 6)


def test_an_expired_silence_begins_anew() -> None:
    """An edit makes a new one and leaves the old one as it was."""
    table = kept(WANTED)

    assert "new" == edited(table, 150, ends_ms=ms(300))
    assert ms(100) == (table.get("s0") or WANTED).ends_ms


def test_ending_is_idempotent() -> None:
    """A silence that has ended is not ended again; a pending one is never active."""
    table = kept(WANTED, replace(WANTED, starts_ms=ms(50)))
    for key in ("s0", "s1"):
        table.take(table.ending(key, ms(10)))

    assert {"s0": "expired", "s1": "expired"} == states(table, 10)
    assert () == table.ending("s0", ms(11))


def test_silences_are_forgotten_after_five_days() -> None:
    """Until then they can be seen, and begun anew."""
    table = kept(WANTED)
    assert () == table.collect(ms(100) + RETENTION_MS - 1)

    assert ("s0",) == table.collect(ms(100) + RETENTION_MS)


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (replace(WANTED, matchers=()), "at least one matcher"),
        (replace(WANTED, matchers=(Matcher("a", "=~", ".*"),)), "empty string"),
        (replace(WANTED, matchers=(Matcher("", "=", "x"),)), "name"),
        (replace(WANTED, ends_ms=ms(0)), "before end time"),
        (replace(WANTED, starts_ms=ms(-9), ends_ms=ms(-1)), "in the past"),
    ],
)
def test_what_is_refused(wanted: Silence, word: str) -> None:
    """No matcher, one that takes everything, an end before the start or in the past."""
    with pytest.raises(SilenceError, match=word) as caught:
        kept(wanted)

    assert not caught.value.missing


@pytest.mark.parametrize("verb", ["edit", "end"])
def test_an_unknown_id_is_missing(verb: str) -> None:
    """The error says so, so that the API can answer 404."""
    table = kept()
    with pytest.raises(SilenceError, match="not found") as caught:
        _ = table.plan(replace(WANTED, id="?"), 0, "n") if verb == "edit" else table.ending("?", 0)

    assert caught.value.missing


def test_silences_are_bounded() -> None:
    """One more than the limit is refused; one that ended makes room."""
    table = Silences(most=1)
    table.take(table.plan(WANTED, ms(0), "a")[1])
    with pytest.raises(SilenceError, match="silences_max"):
        table.plan(WANTED, ms(1), "b")
    table.take(table.ending("a", ms(1)))

    assert "b" == table.plan(WANTED, ms(1), "b")[0]

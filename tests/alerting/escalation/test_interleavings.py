"""Whatever happens between restarts: no step is lost, and none is told under two keys."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.alerting.escalation.rig import Rig
from tests.alerting.escalation.samples import alert, group

from watchkeeper.errors import IncidentError
from watchkeeper.server.alerts.escalation.incident import ByPerson, Verb

VERBS: tuple[Verb, ...] = ("acknowledge", "unacknowledge", "take", "resolve", "comment")
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 12)),
    st.tuples(st.just("person"), st.sampled_from(VERBS)),
    st.tuples(st.just("report"), st.sampled_from(("firing", "more", "ended"))),
    st.tuples(st.just("crash"), st.sampled_from(("idle", "sent", "due"))),
)
NOTES = {
    "firing": group(),
    "more": group(alert(), alert("Down")),
    "ended": group(alert(ended=True)),
}


async def lived(folder: Path, steps: list[tuple[str, object]], *, crashes: bool) -> Rig:
    """Return a closed rig after *steps*, with or without the crashes among them."""
    rig = Rig(folder)
    await rig.report(NOTES["firing"])
    for kind, what in steps:
        if kind == "wait":
            assert isinstance(what, int)
            await rig.wait(what)
        elif kind == "report":
            await rig.runner.on_notification(NOTES[str(what)])
            await rig.runner.settle()
        elif kind == "person":
            newest = rig.sql("SELECT id FROM incidents ORDER BY opened_ms DESC, id LIMIT 1")
            verb = next(one for one in VERBS if one == what)
            try:
                await rig.runner.act(str(newest[0][0]), ByPerson(verb, "alice", "api", "x"))
            except IncidentError:
                continue
            await rig.runner.settle()
        elif crashes:
            await crash(rig, str(what))
    rig.close()
    return rig


async def crash(rig: Rig, when: str) -> None:
    """End and begin anew: while nothing happens, after a message was sent, or before one is."""
    if when == "sent":
        with rig.store.state_write() as cursor:
            cursor.execute(
                "UPDATE incident_pages SET outcome = 'pending', sent_ms = NULL WHERE key ="
                " (SELECT max(key) FROM incident_pages WHERE outcome = 'delivered'"
                " AND incident_id IN (SELECT id FROM incidents WHERE state = 'triggered'))"
            )
    if when == "due":
        rig.ledger.fire_timers(rig.clock.now_ns() // 1_000_000)
    rig.restart()
    await rig.runner.settle()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # each example opens several databases
@given(st.lists(STEPS, max_size=10))
def test_crashes_change_nothing_but_repeats_under_the_same_key(
    steps: list[tuple[str, object]],
) -> None:
    """With crashes the same keys are told as without; a repeat needs a crash after sending."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        calm = asyncio.run(lived(Path(one), steps, crashes=False))
        rough = asyncio.run(lived(Path(two), steps, crashes=True))

    sent = [what for kind, what in steps if kind == "crash" and what == "sent"]
    for name, box in calm.boxes.items():
        expected, found = Counter(box.keys()), Counter(rough.boxes[name].keys())
        assert set(expected) == set(found), name
        assert all(count == 1 for count in expected.values()), name
        assert sum(found.values()) - sum(expected.values()) <= len(sent), name

"""What is cut to a limit is counted once, by the limit's reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from tests.instrument.logs.rig import Rig as LogRig
from tests.instrument.recorder.collector import collecting
from tests.instrument.rig import attached

from watchkeeper.clock import SystemClock
from watchkeeper.instrument.cuts import count_cut, cuts
from watchkeeper.instrument.domain import agent_run, llm_call, tool_call
from watchkeeper.instrument.redaction import MARGIN
from watchkeeper.instrument.runtime import build
from watchkeeper.instrument.settings import load

MOST = 100


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Yield a dict that holds, at the end, what was counted meanwhile."""
    before: Mapping[str, int] = cuts()
    found: dict[str, int] = {}
    yield found
    for reason, count in cuts().items():
        if count > before.get(reason, 0):
            found[reason] = count - before.get(reason, 0)


def deep(levels: int) -> list[Any]:
    """Return lists within lists."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("redact", [True, False])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a" * MOST, {}),
        ("a" * (MOST + 1), {"attribute_length": 1}),
        ("a" * (MOST + MARGIN + 1), {"attribute_length": 1}),
        (["a" * MOST, 1], {}),
        (["a" * (MOST + MARGIN + 1), 1], {"attribute_length": 1}),
        (list(range(1_000)), {}),
        (list(range(1_001)), {"attribute_items": 1}),
        (deep(16), {}),
        (deep(17), {"attribute_depth": 1}),
    ],
)
def test_a_span_that_is_cut_is_counted_once(
    value: Any, expected: Mapping[str, int], *, redact: bool
) -> None:
    """Each attribute of an exported span that was cut counts once, whether secrets are masked."""
    with collecting() as collector:
        settings = load(
            {"endpoint": collector.url, "attribute_value_chars_max": MOST, "redact": redact}, {}
        )
        runtime = build(settings, clock=SystemClock())
        with counted() as found:
            with runtime.recorder.tracer_provider.get_tracer("t").start_as_current_span(
                "s"
            ) as span:
                span.set_attribute("some", value)
            assert runtime.flush()
        runtime.stop()
        assert 1 == len(collector.requests)

    assert expected == found


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("a" * 1_000, {}),
        ("a" * 1_001, {"attribute_length": 1}),
        (list(range(101)), {"attribute_items": 1}),
        ({str(number): number for number in range(101)}, {"attribute_items": 1}),
        (deep(7), {"attribute_depth": 1}),
        (["a" * 999] * 12, {"line_length": 1}),
    ],
)
@pytest.mark.parametrize("console", [True, False])
def test_a_line_that_is_cut_is_counted_once(
    field: object, expected: Mapping[str, int], *, console: bool
) -> None:
    """A cut value counts once; a line too long counts as one, not for each value that it lost."""
    logs = LogRig(console=console)
    with counted() as found:
        logs.write("e", field=field)

    assert expected == found


def converse() -> None:
    """Call a model with more than is recorded."""
    with llm_call(provider="anthropic", model="claude-sonnet-4-5", input="a" * 21):
        pass


def work() -> None:
    """Call more different tools than a run remembers, two of them twice."""
    with agent_run("support"):
        for tool in ("a", "b", "c", "a", "c"):
            with tool_call(tool, arguments={}):
                pass


@pytest.mark.parametrize(("chars", "expected"), [(2_048, {}), (2_049, {"label_length": 1})])
def test_a_label_that_is_cut_is_counted(chars: int, expected: Mapping[str, int]) -> None:
    """A label's value past the limit is cut, and the update counts."""
    with attached() as rig:
        with counted() as found:
            rig.metrics.gauge("job.queue.depth").child(("q" * chars,)).set(1)
        shown = rig.samples("job_queue_depth")

    assert expected == found
    assert {f'job_queue_depth{{job_queue="{"q" * 2_048}"}}': 1.0} == shown


@pytest.mark.parametrize(
    ("act", "expected"), [(converse, {"content_length": 1}), (work, {"agent_calls": 2})]
)
def test_what_the_domain_cuts_is_counted(
    act: Callable[[], None], expected: Mapping[str, int]
) -> None:
    """Content past its setting, and tool calls that a run cannot remember, are counted."""
    with attached(capture_content=True, content_chars_max=20, agent_calls_kept_max=2) as rig:
        with counted() as found:
            act()
        shown = rig.samples("watchkeeper_telemetry_truncated_total")

    assert expected == found
    (reason,) = expected
    series = f'watchkeeper_telemetry_truncated_total{{reason="{reason}"}}'
    assert shown[series] == cuts()[reason]


def test_a_forked_child_does_not_repeat_its_parents_cuts() -> None:
    """After a reset the metric counts from zero."""
    with attached() as rig:
        count_cut("line_length")
        rig.metrics.reset()
        count_cut("line_length")
        shown = rig.samples("watchkeeper_telemetry_truncated_total")

    assert shown['watchkeeper_telemetry_truncated_total{reason="line_length"}'] == 1.0

"""The demo's proof: every promise of a running stack, checked from outside and counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from watchkeeper.clock import Clock
from watchkeeper.testing.processes import Supervisor, wait_until
from watchkeeper.verify.apis import Apis
from watchkeeper.verify.completeness import Completeness, judge
from watchkeeper.verify.dashboards import empty_panels
from watchkeeper.verify.emitted import Emitted, read_emitted, targets
from watchkeeper.verify.names import (
    EVENTS_MAY_BE_UNSEEN,
    MAY_BE_UNSEEN,
    undeclared,
    unseen,
    unseen_events,
)
from watchkeeper.vocabulary.events import EVENTS
from watchkeeper.vocabulary.metrics import METRICS

__all__ = ["DemoCheck", "Promise", "Report"]

_SECOND_NS = 1_000_000_000
_FETCHERS = 4


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that had to hold."""

    name: str
    held: bool
    detail: str


@dataclass(slots=True)
class Report:
    """What held, and the figures."""

    promises: list[Promise] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, held: bool, detail: str) -> None:  # noqa: FBT001 - the result itself
        """Note whether a promise held."""
        self.promises.append(Promise(name, held, detail))

    @property
    def held(self) -> bool:
        """Whether every promise held."""
        return all(promise.held for promise in self.promises)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        promises = [
            {"name": promise.name, "held": promise.held, "detail": promise.detail}
            for promise in self.promises
        ]
        return {"held": self.held, "promises": promises, "figures": self.figures}


class DemoCheck:
    """Drives no process itself: it is told when to look, and looks over HTTP.

    Attributes:
        report: What was found so far.
    """

    def __init__(
        self, *, server_url: str, slack_url: str, targets_dir: Path, clock: Clock, alert: str
    ) -> None:
        """Prepare to look at a server, at the Slack endpoint and at the applications.

        Args:
            server_url: Base URL of the server.
            slack_url: URL that answers ``{"messages": [{"body": …, "received_s": …}]}``.
            targets_dir: Folder of ``file_sd`` files of the applications.
            clock: Where time comes from.
            alert: Name of the alert that the fault raises.
        """
        self._apis = Apis(server_url)
        self._slack_url = slack_url
        self._targets_dir = targets_dir
        self._clock = clock
        self._alert = alert
        self._start_ns = clock.now_ns()
        self._end_ns: int | None = None
        self._emitted: Emitted | None = None
        self.report = Report()

    def close(self) -> None:
        """Close connections."""
        self._apis.close()

    def alert_fires(self, timeout_s: float) -> bool:
        """Watch the alert go from pending to firing and its message arrive; note both."""
        seen: list[str] = []

        def firing() -> bool:
            states = self._states()
            if states and states[0] not in seen:
                seen.append(states[0])
            return "firing" in states

        began_ns = self._clock.monotonic_ns()
        held = wait_until(firing, timeout_s, self._clock)
        took_s = (self._clock.monotonic_ns() - began_ns) / _SECOND_NS
        self.report.add(
            "alert goes pending, then firing",
            held and seen == ["pending", "firing"],
            f"{' -> '.join(seen) or 'inactive'} in {took_s:.1f} s",
        )
        self.report.figures["alert_fired_after_s"] = round(took_s, 1)
        return self._delivered("FIRING", timeout_s) and held

    def alert_resolves(self, timeout_s: float) -> bool:
        """Watch the alert end and its message arrive; note both."""
        began_ns = self._clock.monotonic_ns()
        held = wait_until(lambda: not self._states(), timeout_s, self._clock)
        took_s = (self._clock.monotonic_ns() - began_ns) / _SECOND_NS
        self.report.add("alert resolves", held, f"in {took_s:.1f} s")
        self.report.figures["alert_resolved_after_s"] = round(took_s, 1)
        return self._delivered("RESOLVED", timeout_s) and held

    def _states(self) -> list[str]:
        try:
            return [str(alert["state"]) for alert in self._apis.alerts(self._alert)]
        except httpx.HTTPError:
            return []

    def _delivered(self, word: str, timeout_s: float) -> bool:
        def arrived() -> bool:
            return any(
                word in str(message).upper() and self._alert in str(message)
                for message in httpx.get(self._slack_url, timeout=5.0).json()["messages"]
            )

        held = wait_until(arrived, timeout_s, self._clock)
        self.report.add(f"Slack received the {word.lower()} message", held, self._slack_url)
        return held

    def settle(self, timeout_s: float = 60.0) -> None:
        """Wait for a moment at which nothing is under way and the server has it all.

        What `counts` compares is what was emitted and stored until then, since work on a schedule
        goes on afterwards; or until the last look, if there was no such moment in *timeout_s*.
        """
        last: list[Emitted] = []

        def quiet() -> bool:
            try:
                # What begins after this moment makes the numbers differ from those read before.
                self._end_ns = self._clock.now_ns()
                self._emitted = read_emitted(targets(self._targets_dir))
                stored = (self._stored_spans(), self._stored_logs())
            except httpx.HTTPError:
                return False
            last.append(self._emitted)
            return last[-2:-1] == last[-1:] and stored == (last[-1].spans, last[-1].logs)

        def twice() -> bool:
            pause = self._clock.monotonic_ns() + _SECOND_NS // 2
            wait_until(lambda: self._clock.monotonic_ns() >= pause, 2.0, self._clock)
            return quiet()

        wait_until(twice, timeout_s, self._clock)

    def _window_s(self) -> tuple[float, float]:
        end_s = self._clock.now_ns() / _SECOND_NS + 1
        if self._end_ns is not None:
            end_s = self._end_ns / _SECOND_NS
        return self._start_ns / _SECOND_NS - 1, end_s

    def _traces(self) -> list[dict[str, Any]]:
        start_s, end_s = self._window_s()
        found = self._apis.traces(int(start_s), int(end_s) + 1)
        latest_ns = end_s * _SECOND_NS
        return [trace for trace in found if int(trace["startTimeUnixNano"]) <= latest_ns]

    def _stored_spans(self) -> int:
        found = (stats for trace in self._traces() for stats in trace["serviceStats"].values())
        return sum(stats["spanCount"] for stats in found)

    def _stored_logs(self) -> int:
        return self._apis.log_lines(*self._window_s())

    def counts(self) -> None:
        """Compare what was emitted with what is stored, and look at every trace."""
        emitted = self._emitted or read_emitted(targets(self._targets_dir))
        logs = self._stored_logs()
        whole = self._completeness()
        self.report.figures |= {
            "spans_emitted": emitted.spans,
            "spans_stored": whole.spans,
            "logs_emitted": emitted.logs,
            "logs_stored": logs,
            "dropped": emitted.dropped,
            "traces": whole.traces,
            "traces_broken": len(whole.broken),
        }
        add = self.report.add
        add(
            "every span is stored",
            emitted.spans == whole.spans > 0,
            f"{emitted.spans} emitted, {whole.spans} stored",
        )
        add(
            "every log record is stored",
            emitted.logs == logs > 0,
            f"{emitted.logs} emitted, {logs} stored",
        )
        add("nothing was dropped", emitted.dropped == 0, f"{emitted.dropped} dropped")
        examples = "; ".join(f"{key}: {text}" for key, text in list(whole.broken.items())[:3])
        add(
            "every trace is complete",
            whole.traces > 0 and not whole.broken,
            f"{whole.traces} traces, {len(whole.broken)} broken {examples}".strip(),
        )

    def _completeness(self) -> Completeness:
        ids = [trace["traceID"] for trace in self._traces()]

        def fetch(trace_id: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
            return trace_id, self._apis.trace_spans(trace_id)

        with ThreadPoolExecutor(_FETCHERS) as pool:
            fetched: Iterable[tuple[str, Sequence[Mapping[str, Any]]]] = pool.map(fetch, ids)
            return judge(fetched)

    def samples(self) -> None:
        """Compare the samples that scrapes brought with those that queries see."""
        start_s, end_s = self._window_s()
        span_s = round(end_s - start_s)
        brought = self._apis.total(f"sum(sum_over_time(scrape_samples_scraped[{span_s}s]))")
        seen = self._apis.total(f'sum(count_over_time({{__name__=~".+"}}[{span_s}s]))')
        self.report.figures |= {"samples_scraped": int(brought), "samples_stored": int(seen)}
        self.report.add(
            "metric samples are stored",
            seen >= brought > 0,
            f"{brought:.0f} scraped, {seen:.0f} stored",
        )

    def panels(self) -> None:
        """Ask every panel of every dashboard for data."""
        start_s, end_s = self._window_s()
        total, empty = empty_panels(self._apis, start_s=start_s, end_s=end_s)
        self.report.figures |= {"panels": total, "panels_empty": len(empty)}
        self.report.add(
            "every panel has data", total > 0 and not empty, f"{total} panels, empty: {empty[:5]}"
        )

    def names(self, timeout_s: float = 30.0) -> None:
        """Compare the names of metrics and log events that were seen with the vocabulary."""
        seen: set[str] = set()
        events: set[str] = set()

        def all_seen() -> bool:
            seen.update(self._apis.json("/api/v1/label/__name__/values")["data"])
            start_s, _ = self._window_s()
            events.update(self._apis.log_events(start_s, self._clock.now_ns() / _SECOND_NS))
            return set(unseen(seen)) <= set(MAY_BE_UNSEEN) and set(unseen_events(events)) <= set(
                EVENTS_MAY_BE_UNSEEN
            )

        wait_until(all_seen, timeout_s, self._clock)
        foreign, missing, silent = undeclared(seen), unseen(seen), unseen_events(events)
        self.report.figures |= {
            "metrics_declared": len(METRICS),
            "metrics_never_seen": missing,
            "events_never_seen": silent,
        }
        dead = [name for name in missing if name not in MAY_BE_UNSEEN]
        self.report.add(
            "every metric is seen, but for failures of telemetry itself",
            not dead,
            f"{len(METRICS)} declared, {len(missing)} not seen, {dead[:5]} among them should be",
        )
        dead = [name for name in silent if name not in EVENTS_MAY_BE_UNSEEN]
        self.report.add(
            "every log event is seen, but for what operators do",
            not dead,
            f"{len(EVENTS)} declared, {len(silent)} not seen, {dead[:5]} among them should be",
        )
        self.report.add("every metric is declared", not foreign, f"undeclared: {foreign[:5]}")

    def requests(self, sent: int, failed_to_connect: int) -> None:
        """Note how many requests the traffic generator completed."""
        self.report.figures |= {"requests": sent, "requests_unanswered": failed_to_connect}
        self.report.add(
            "every request was answered",
            sent > 0 and failed_to_connect == 0,
            f"{sent} sent, {failed_to_connect} without an answer",
        )

    def unnoticed(self, before: Mapping[str, Any], during: Mapping[str, Any]) -> None:
        """Compare the application's answers while the server was down with those before.

        The bounds allow for chance: half again the median and ten points of errors more, since
        a run of seconds holds about a hundred requests, some of which fail at their provider.
        """
        sent = during["sent"] - before["sent"]
        unanswered = during["unanswered"] - before["unanswered"]
        was, now = before["latency_ms"]["p50"], during["latency_ms"]["p50"]
        self.report.figures["while_server_down"] = {
            "requests": sent,
            "p50_ms": [was, now],
            "error_share": [before["error_share"], during["error_share"]],
        }
        self.report.add(
            "the application notices nothing while the server is down",
            sent > 0
            and unanswered == 0
            and now <= 1.5 * was + 20
            and during["error_share"] <= before["error_share"] + 0.1,
            f"{sent} requests, {unanswered} unanswered, median {was} -> {now} ms, "
            f"errors {before['error_share']:.1%} -> {during['error_share']:.1%}",
        )

    def ended(self, supervisor: Supervisor) -> None:
        """End everything and note whether a process was left over."""
        supervisor.stop_all(kill_orphans=False)
        orphans = supervisor.orphans()
        supervisor.stop_all()
        self.report.add("no process is left over", not orphans, f"process groups left: {orphans}")

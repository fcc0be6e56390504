"""Which spans are exported, decided when they start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AnyValue

from watchkeeper.errors import SettingError
from watchkeeper.instrument.recorder.rules import Rules, bound
from watchkeeper.instrument.recorder.span import EXCLUDED

__all__ = ["HeadSampler", "ParentRatioSampler", "Sampler"]

_ID = 0xFFFF_FFFF_FFFF_FFFF


class Sampler(Protocol):
    """Decides at the start of a span (head sampling). Must be quick and must not raise.

    It is asked for root spans and for spans whose parent is in another process; the others follow
    their parent, so that a trace is whole within a process.
    """

    def sample(
        self,
        trace_id: int,
        parent_sampled: bool | None,  # noqa: FBT001 - positional for speed
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AnyValue],
    ) -> int:
        """Return 1 to export the span that starts, 0 to leave that to the end of its trace.

        `EXCLUDED` leaves it out whatever happens.

        Args:
            trace_id: Its trace id, the parent's if there is one.
            parent_sampled: The parent's decision, or None for a root span.
            name: The span's name.
            kind: The span's kind.
            attributes: The span's attributes at its start.
        """
        ...


class ParentRatioSampler:
    """Follows the parent's decision; keeps a share of the root spans, chosen by trace id.

    The lower 64 bits of the trace id are compared with the ratio, as OpenTelemetry's
    ``parentbased_traceidratio`` does, so that services with equal ratios agree.

    Args:
        ratio: Share of root spans to keep, from 0.0 to 1.0.

    Raises:
        SettingError: *ratio* is outside that range.
    """

    def __init__(self, ratio: float = 1.0) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise SettingError.explain(
                "the sampling ratio is out of range",
                got=ratio,
                accepted="a number from 0.0 to 1.0",
                next_step="pass 1.0 to keep every trace, 0.1 to keep one in ten",
            )
        self.ratio = ratio
        self._bound = bound(ratio)

    def sample(
        self,
        trace_id: int,
        parent_sampled: bool | None,  # noqa: FBT001 - positional for speed
        name: str,  # noqa: ARG002 - part of the protocol
        kind: SpanKind,  # noqa: ARG002 - part of the protocol
        attributes: Mapping[str, AnyValue],  # noqa: ARG002 - part of the protocol
    ) -> int:
        """Return the parent's decision, or the ratio's for a root span."""
        if parent_sampled is None:
            return trace_id & _ID < self._bound
        return parent_sampled


class HeadSampler(ParentRatioSampler):
    """A `ParentRatioSampler` with ratios by route and with paths that are never traced.

    Args:
        ratio: Share of the traces that no rule matches, from 0.0 to 1.0.
        rules: Ratios by route, name or kind.
        excluded: Paths of requests to leave out.
        follow_parent: Follow a caller in another process; False asks the ratio for its traces too,
            as OpenTelemetry's samplers without ``parentbased_`` do.

    Raises:
        SettingError: *ratio* is outside that range.
    """

    def __init__(
        self,
        ratio: float = 1.0,
        *,
        rules: Rules | None = None,
        excluded: Collection[str] = (),
        follow_parent: bool = True,
    ) -> None:
        super().__init__(ratio)
        self._rules = rules
        self._excluded = frozenset(excluded)
        self._follow = follow_parent

    def sample(
        self,
        trace_id: int,
        parent_sampled: bool | None,  # noqa: FBT001 - positional for speed
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AnyValue],
    ) -> int:
        """Exclude a path, follow the parent, or ask the first rule that matches, then the ratio."""
        if kind is SpanKind.SERVER and attributes.get("url.path") in self._excluded:
            return EXCLUDED
        if parent_sampled is not None and self._follow:
            return parent_sampled
        if self._rules is not None:
            found = self._rules.bound(name, kind, attributes)
            if found is not None:
                return trace_id & _ID < found
        return trace_id & _ID < self._bound

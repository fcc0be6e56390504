"""Which spans are exported, decided when they start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AnyValue

from watchkeeper.errors import SettingError

__all__ = ["ParentRatioSampler", "Sampler"]


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
    ) -> bool:
        """Return whether the span that starts is exported.

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
        self._bound = round(ratio * (1 << 64))

    def sample(
        self,
        trace_id: int,
        parent_sampled: bool | None,  # noqa: FBT001 - positional for speed
        name: str,  # noqa: ARG002 - part of the protocol
        kind: SpanKind,  # noqa: ARG002 - part of the protocol
        attributes: Mapping[str, AnyValue],  # noqa: ARG002 - part of the protocol
    ) -> bool:
        """Return the parent's decision, or the ratio's for a root span."""
        if parent_sampled is None:
            return trace_id & 0xFFFF_FFFF_FFFF_FFFF < self._bound
        return parent_sampled

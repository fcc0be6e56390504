"""Floods and chatter: which lines are let through, and what is said about the others.

Three things hold lines back. A bucket for each logger, level and event lets a burst through and
then so many lines in a second. Lines that repeat the one before but for their time are folded.
Sampled events keep a share of their lines, whole traces at a time. What is held back is counted, and
said by the next line of the same event that passes, or by a summary once the flood is over.

Times are nanoseconds of the clock that stamps the lines; one that jumps costs a burst, never a line
of a logger that is not flooding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Gate", "Rules", "Summary"]

Key = tuple[str, int, str]

_SECOND_NS = 1_000_000_000
_OVER_NS = 5 * _SECOND_NS
"""A flood is over when nothing was held back for this long."""
_EVENT_CHARS = 200
"""Characters of an event that tell it from others."""
_LOW_64 = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Rules:
    """What a gate allows."""

    burst_lines: int
    """Lines of one event that pass at once."""
    lines_per_s: int
    """Lines of one event that pass in a second after that."""
    repeats: int
    """Identical lines in a row that pass; after them one in a second does."""
    events: int
    """Events that are remembered; about twice as many at most."""
    rates: Mapping[str, float]
    """Share of lines that is kept, by event, 0.0 to 1.0."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Lines that were held back and that no later line has told of."""

    logger: str
    number: int
    """The level, a number of the standard library."""
    event: str
    lines: int


class _Held:
    __slots__ = ("last_ns", "lines")

    def __init__(self, now_ns: int, lines: int) -> None:
        self.lines = lines
        self.last_ns = now_ns


class Gate:
    """Decides for each line whether it is written.

    Safe to use from any thread. `admit` costs one look-up while nothing floods. The look-up is a
    table of due times (the generic cell rate algorithm, ITU-T I.371): one number holds what a
    bucket of tokens and its time of refill would.

    Args:
        rules: What is allowed.
        count: Told of every line that is held back, with the reason: ``rate``, ``repeat`` or
            ``sampled``.
        chance: Random numbers from 0.0 to 1.0, for lines outside of any trace.
        holding: Called when lines begin to be held back, so that somebody asks for `over`.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        count: Callable[[str], None],
        chance: Callable[[], float],
        holding: Callable[[], None] = lambda: None,
    ) -> None:
        self.rates = rules.rates
        self._count = count
        self._chance = chance
        self._holding = holding
        self._step_ns = _SECOND_NS // rules.lines_per_s
        self._ahead_ns = self._step_ns * (rules.burst_lines - 1)
        self._repeats = rules.repeats
        self._events = rules.events
        self._due: dict[Key, int] = {}
        self._due_before: dict[Key, int] = {}
        self._held: dict[Key, _Held] = {}
        self._lock = threading.Lock()
        self.run = 0
        """Lines so far that equal the one before them; who writes one that differs sets it to 0."""
        self._run_shown_ns = 0

    def admit(
        self,
        logger: str,
        number: int,
        event: str,
        now_ns: int,
        trace_id: int = 0,
        declared: bool = False,  # noqa: FBT001, FBT002 - positional for speed
    ) -> int:
        """Take a line's turn.

        Args:
            logger: Name of the logger.
            number: The level, a number of the standard library.
            event: The event, without the values filled into it.
            now_ns: When it happened.
            trace_id: The current trace, 0 if there is none.
            declared: Whether the vocabulary declares the event. Those come once for a request, a
                call or a job, never in a loop: they are sampled but never limited.

        Returns:
            -1 if the line is held back, else how many lines of the same event were held back
            before it and not told of yet.
        """
        if self.rates and number < 30 and not self._is_kept(event, trace_id):
            self._count("sampled")
            return -1
        if declared:
            return 0
        key = (logger, number, event)
        due = self._due.get(key)
        if due is None:
            key = (logger, number, event[:_EVENT_CHARS])
            due = self._recall(key)
        if due > now_ns:
            ahead = due - now_ns
            if ahead > self._ahead_ns:
                if ahead <= self._ahead_ns + self._step_ns:
                    self.hold(key, now_ns, "rate")
                    return -1
                # Nobody gets that far ahead: the clock was set back.
                due = now_ns
        else:
            due = now_ns
        self._due[key] = due + self._step_ns
        if not self._held:
            return 0
        with self._lock:
            held = self._held.pop(key, None)
        return 0 if held is None else held.lines

    def repeats(self, key: Key, now_ns: int, told: int) -> bool:
        """Return whether a line that equals the one before it is folded.

        Args:
            key: Logger, level and event, as given to `admit`.
            now_ns: When it happened.
            told: What `admit` returned for it; is held again if the line is.
        """
        self.run += 1
        if self.run < self._repeats or not 0 <= now_ns - self._run_shown_ns < _SECOND_NS:
            self._run_shown_ns = now_ns
            return False
        self.hold((key[0], key[1], key[2][:_EVENT_CHARS]), now_ns, "repeat", told + 1)
        return True

    def hold(self, key: Key, now_ns: int, reason: str, lines: int = 1) -> None:
        """Hold a line back: count it, and remember to tell of *lines*."""
        self._count(reason)
        with self._lock:
            held = self._held.get(key)
            if held is not None:
                held.lines += lines
                held.last_ns = now_ns
                return
            if len(self._held) < self._events:
                self._held[key] = _Held(now_ns, lines)
        self._holding()

    def over(self, now_ns: int) -> list[Summary]:
        """Return a summary for each flood that is over, and forget it."""
        return self._taken(lambda held: not 0 <= now_ns - held.last_ns < _OVER_NS)

    def rest(self) -> list[Summary]:
        """Return a summary for everything that was not told of yet: the last call at the end."""
        return self._taken(lambda _: True)

    def after_fork(self) -> None:
        """Leave the parent's floods to the parent; runs in a forked child."""
        self._lock = threading.Lock()
        self._held = {}

    def _is_kept(self, event: str, trace_id: int) -> bool:
        """Decide about a line of a sampled event.

        Lines of a trace stay together: all events with the same rate keep the same traces, those
        that a sampler of traces with this ratio keeps.
        """
        rate = self.rates.get(event)
        if rate is None:
            return True
        if trace_id:
            return trace_id & _LOW_64 < round(rate * (1 << 64))
        return self._chance() < rate

    def _taken(self, wanted: Callable[[_Held], bool]) -> list[Summary]:
        with self._lock:
            keys = [key for key, held in self._held.items() if wanted(held)]
            return [Summary(*key, self._held.pop(key).lines) for key in keys]

    def _recall(self, key: Key) -> int:
        """Return the due time of an event that is not among the recent ones, 0 for a new one.

        Two tables take turns, which forgets what was used least recently without any work on the
        look-up: a full one becomes the older one, and what is asked for there moves back.
        """
        due = self._due.get(key)
        if due is not None:
            return due
        if len(self._due) >= self._events:
            self._due_before, self._due = self._due, {}
        due = self._due[key] = self._due_before.pop(key, 0)
        return due

"""What the local LLM provider says, how long it takes, and how often it fails. Pure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

__all__ = ["Mood", "Thought", "tokens_of"]

_WORDS = [
    "the",
    "report",
    "shows",
    "a",
    "steady",
    "rise",
    "in",
    "orders",
    "while",
    "refunds",
    "stay",
    "flat",
    "and",
    "the",
    "customer",
    "asked",
    "for",
    "a",
    "summary",
    "of",
    "the",
    "contract",
    "which",
    "renews",
    "in",
    "spring",
    "with",
    "the",
    "same",
    "terms",
    "as",
    "before",
]
_STUBBORN = "the contract, once more"
"""What a model asks for that goes in circles."""
_RATE_LIMITED, _BROKEN = 0.015, 0.01
_TOKENS_A_SECOND = 160.0


def tokens_of(text: str) -> int:
    """Return roughly how many tokens a text has: four characters each, at least one."""
    return max(1, len(text) // 4)


@dataclass(frozen=True, slots=True)
class Thought:
    """One answer of the provider."""

    status: int
    """200, 429 or 500."""
    text: str
    tool: tuple[str, dict[str, Any]] | None
    """A tool that the model wants called, with its arguments, instead of text."""
    input_tokens: int
    cached_tokens: int
    """Part of the input that was read from a cache."""
    written_tokens: int
    """Part of the input that was written to a cache."""
    output_tokens: int
    reasoning_tokens: int
    """Part of the output."""
    first_chunk_s: float
    total_s: float


class Mood:
    """Draws answers; the same seed draws the same ones.

    Args:
        seed: Seed of the random numbers.
        speed: Latencies are divided by this.
    """

    def __init__(self, seed: int = 7, speed: float = 1.0) -> None:
        self._random = random.Random(seed)
        self._speed = speed

    def think(
        self,
        messages: list[dict[str, Any]],
        tools: list[str],
        *,
        long: bool = False,
        circles: float = 0.0,
    ) -> Thought:
        """Return the answer to a conversation.

        A model that has tools asks for one first, and answers once it has seen a result.

        Args:
            messages: The conversation as it was sent.
            tools: Names of the tools that may be called.
            long: Whether to answer at length, which costs more.
            circles: Share of conversations in which the same tool is asked for for ever.
        """
        draw = self._random
        prompt = json.dumps(messages)
        seen = any(_is_result(message) for message in messages)
        first_s = draw.lognormvariate(-2.3, 0.4) / self._speed
        luck = draw.random()
        status = 429 if luck < _RATE_LIMITED else 500 if luck < _RATE_LIMITED + _BROKEN else 200
        words = draw.randint(400, 700) if long else draw.randint(15, 60)
        text = " ".join(draw.choice(_WORDS) for _ in range(words))
        tool = None
        stubborn = circles > 0 and (_STUBBORN in prompt or draw.random() < circles)
        if tools and stubborn:
            tool = ("search_documents", {"query": _STUBBORN})
            text = ""
        elif tools and not seen:
            name = draw.choice(tools)
            tool = (name, _arguments(name, draw))
            text = ""
        output = tokens_of(text) if text else 24
        inputs = tokens_of(prompt)
        # What a first call of a conversation writes to the cache, the next ones read.
        cached = inputs // 2 if seen and inputs > 200 else 0
        written = inputs // 2 if tools and not seen else 0
        reasoning = output // 4 if text else 0
        total_s = first_s + output / _TOKENS_A_SECOND / self._speed
        return Thought(
            status, text, tool, inputs, cached, written, output, reasoning, first_s, total_s
        )


def _is_result(message: dict[str, Any]) -> bool:
    if message.get("role") == "tool":
        return True
    content = message.get("content")
    return isinstance(content, list) and any(
        isinstance(block, dict) and block.get("type") == "tool_result" for block in content
    )


def _arguments(name: str, draw: random.Random) -> dict[str, Any]:
    if name == "calculator":
        return {"expression": f"{draw.randint(2, 99)} * {draw.randint(2, 99)}"}
    if name == "fetch_customer":
        return {"customer": draw.choice(("ann", "bob", "cleo", "dev"))}
    return {"query": draw.choice(_WORDS)}

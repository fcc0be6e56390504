"""What providers' answers say, read by their shape so that no provider's library is imported.

Understands, as objects or as decoded JSON: OpenAI's Chat Completions (whole and chunks), Responses
(whole and stream events) and embeddings; Anthropic's Messages (whole and stream events).

The two count differently: OpenAI's input tokens include the cached ones, Anthropic's do not. The
semantic conventions include them, so Anthropic's are added up here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.instrument.usage import NO_USAGE, Usage

__all__ = ["Answer"]


@dataclass(slots=True)
class Answer:
    """What is known of an answer so far; `read` adds what one more object says."""

    usage: Usage | None = None
    model: str | None = None
    id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    failed: str | None = None
    """Why the provider says that the answer failed, as an ``error.type``."""
    content: list[Any] = field(default_factory=list)
    """Texts and parts, in order; filled only if `keep_content` is set."""
    keep_content: bool = False
    _anthropic: dict[str, int] = field(default_factory=dict)

    def read(self, answer: object) -> None:
        """Take in a whole answer, or one chunk or event of a stream; unknown ones change nothing."""
        kind = _get(answer, "type")
        if isinstance(kind, str) and kind:
            if kind.startswith("response."):
                self._read_responses_event(answer, kind)
            elif kind in _ANTHROPIC:
                _ANTHROPIC[kind](self, answer)
            elif kind == "chunk":
                self.read(_get(answer, "chunk"))
            return
        shape = _get(answer, "object")
        if shape == "response":
            self._read_response(answer)
        elif shape in ("chat.completion", "chat.completion.chunk", "text_completion"):
            self._read_chat(answer)
        elif _get(answer, "usage") is not None:
            self._read_openai_usage(_get(answer, "usage"))
            self.model = _text(_get(answer, "model")) or self.model

    def _read_chat(self, answer: object) -> None:
        self.model = _text(_get(answer, "model")) or self.model
        self.id = _text(_get(answer, "id")) or self.id
        usage = _get(answer, "usage")
        if usage is not None:
            self._read_openai_usage(usage)
        for choice in _get(answer, "choices") or ():
            reason = _text(_get(choice, "finish_reason"))
            if reason:
                self.finish_reasons = (*self.finish_reasons, reason)
            if self.keep_content:
                message = _get(choice, "message")
                if message is not None:
                    self.content.append(message)
                else:
                    self._keep(_get(_get(choice, "delta"), "content"))

    def _read_openai_usage(self, usage: object) -> None:
        given = _count(usage, "input_tokens")
        details = _get(usage, "input_tokens_details")
        if given is None:
            given = _count(usage, "prompt_tokens")
            details = _get(usage, "prompt_tokens_details")
        made = _count(usage, "output_tokens")
        if made is None:
            made = _count(usage, "completion_tokens")
        self.usage = Usage(
            given or 0,
            made or 0,
            _count(details, "cached_tokens") or 0,
            _count(details, "cache_write_tokens") or 0,
        )

    def _read_response(self, answer: object) -> None:
        self.model = _text(_get(answer, "model")) or self.model
        self.id = _text(_get(answer, "id")) or self.id
        usage = _get(answer, "usage")
        if usage is not None:
            self._read_openai_usage(usage)
        status = _text(_get(answer, "status"))
        if status == "incomplete":
            reason = _text(_get(_get(answer, "incomplete_details"), "reason"))
            self.finish_reasons = (reason or status,)
        elif status == "failed":
            self.failed = _text(_get(_get(answer, "error"), "code")) or status
            self.finish_reasons = (status,)
        elif status == "completed":
            self.finish_reasons = ("stop",)
        if self.keep_content and status in ("completed", "incomplete"):
            self.content = list(_get(answer, "output") or ())

    def _read_responses_event(self, event: object, kind: str) -> None:
        answer = _get(event, "response")
        if answer is not None:
            self._read_response(answer)
        elif kind == "response.output_text.delta" and self.keep_content:
            self._keep(_get(event, "delta"))

    def _read_message(self, message: object) -> None:
        self.model = _text(_get(message, "model")) or self.model
        self.id = _text(_get(message, "id")) or self.id
        self._read_anthropic_usage(_get(message, "usage"))
        self._read_stop(message)
        if self.keep_content:
            self.content.extend(_get(message, "content") or ())

    def _read_message_start(self, event: object) -> None:
        self._read_message(_get(event, "message"))

    def _read_message_delta(self, event: object) -> None:
        self._read_anthropic_usage(_get(event, "usage"))
        self._read_stop(_get(event, "delta"))

    def _read_block_delta(self, event: object) -> None:
        if self.keep_content:
            self._keep(_get(_get(event, "delta"), "text"))

    def _read_error(self, event: object) -> None:
        self.failed = _text(_get(_get(event, "error"), "type")) or "error"

    def _read_stop(self, message: object) -> None:
        reason = _text(_get(message, "stop_reason"))
        if reason:
            self.finish_reasons = (reason,)

    def _read_anthropic_usage(self, usage: object) -> None:
        # Counts in later events are cumulative, and absent where nothing changed.
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ):
            count = _count(usage, name)
            if count is not None:
                self._anthropic[name] = count
        counts = self._anthropic
        if counts:
            read = counts.get("cache_read_input_tokens", 0)
            created = counts.get("cache_creation_input_tokens", 0)
            self.usage = Usage(
                counts.get("input_tokens", 0) + read + created,
                counts.get("output_tokens", 0),
                read,
                created,
            )

    def _keep(self, text: object) -> None:
        if isinstance(text, str) and text:
            if self.content and isinstance(self.content[-1], str):
                self.content[-1] += text
            else:
                self.content.append(text)

    @property
    def known_usage(self) -> Usage:
        """The usage, zeros if none was seen."""
        return self.usage or NO_USAGE


_ANTHROPIC = {
    "message": Answer._read_message,  # noqa: SLF001 - a table of this class's own methods
    "message_start": Answer._read_message_start,  # noqa: SLF001 - likewise
    "message_delta": Answer._read_message_delta,  # noqa: SLF001 - likewise
    "content_block_delta": Answer._read_block_delta,  # noqa: SLF001 - likewise
    "error": Answer._read_error,  # noqa: SLF001 - likewise
}


def _get(thing: object, name: str) -> Any:
    if isinstance(thing, Mapping):
        return thing.get(name)
    return getattr(thing, name, None)


def _count(thing: object, name: str) -> int | None:
    value = _get(thing, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

"""What providers' answers say, read by their shape so that no provider's library is imported.

Understands, as objects or as decoded JSON: OpenAI's Chat Completions (whole and chunks), Responses
(whole and stream events) and embeddings; Anthropic's Messages (whole and stream events).

The two count differently: OpenAI's input tokens include the cached ones, Anthropic's do not. The
semantic conventions include them, so Anthropic's are added up here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from watchkeeper.instrument.usage import NO_USAGE, Usage

__all__ = ["Answer"]

_CLASSES_MAX = 256
_TEXT_MAX = 512
"""Characters of a model's name, an id or a reason."""


class Answer:
    """What is known of an answer so far; `read` adds what one more object says."""

    was_read = False
    usage: Usage | None = None
    model: str | None = None
    id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    tool_calls: int = 0
    """Tools that the answer asks to be called."""
    failed: str | None = None
    """Why the provider says that the answer failed, as an ``error.type``."""
    content: list[Any] | None = None
    """Texts and parts, in order; None unless `keep` was called."""
    _anthropic: dict[str, int] | None = None

    def keep(self) -> None:
        """Keep the content of what is read from here on."""
        self.content = []

    def read(self, answer: object) -> None:
        """Take in a whole answer, or one chunk or event of a stream; unknown ones change nothing."""
        self.was_read = True
        cls = type(answer)
        reader = _READERS.get(cls)
        if reader is None:
            reader = _reader(answer)
            # The clients' classes are pydantic models whose ``type`` or ``object`` is fixed; asking
            # such a model for a field that it lacks takes longer than all the rest.
            if hasattr(cls, "model_fields") and len(_READERS) < _CLASSES_MAX:
                _READERS[cls] = reader
        reader(self, answer)

    def described(self) -> dict[str, Any]:
        """Return what is known besides the usage, under the names of the conventions."""
        known = (
            ("gen_ai.response.model", self.model),
            ("gen_ai.response.id", self.id),
            ("gen_ai.response.finish_reasons", self.finish_reasons or None),
            ("llm.tool_calls", self.tool_calls or None),
        )
        return {name: value for name, value in known if value is not None}

    def _read_nothing(self, answer: object) -> None:
        """Leave an object alone that says nothing."""

    def _read_wrapped(self, answer: object) -> None:
        self.read(_get(answer, "chunk"))

    def _read_other(self, answer: object) -> None:
        usage = _get(answer, "usage")
        if usage is not None:
            self._read_openai_usage(usage)
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
            self._read_choice(choice)

    def _read_choice(self, choice: object) -> None:
        message = _get(choice, "message") if _has(choice, "message") else None
        if message is not None:
            self.tool_calls += len(_get(message, "tool_calls") or ())
            if self.content is not None:
                self.content.append(message)
            return
        delta = _get(choice, "delta") if _has(choice, "delta") else None
        if delta is not None:
            # Only the first piece of a streamed call carries its id.
            for call in _get(delta, "tool_calls") or ():
                self.tool_calls += _get(call, "id") is not None
            if self.content is not None:
                self._keep(_get(delta, "content"))

    def _read_openai_usage(self, usage: object) -> None:
        if _has(usage, "prompt_tokens"):
            names = ("prompt_tokens", "completion_tokens")
        else:
            names = ("input_tokens", "output_tokens")
        given, made = names
        details = _get(usage, f"{given}_details")
        made_details = _get(usage, f"{made}_details")
        self.usage = Usage(
            _count(usage, given) or 0,
            _count(usage, made) or 0,
            (details is not None and _count(details, "cached_tokens")) or 0,
            (details is not None and _count(details, "cache_write_tokens")) or 0,
            (made_details is not None and _count(made_details, "reasoning_tokens")) or 0,
        )

    def _read_response(self, answer: object) -> None:
        self.model = _text(_get(answer, "model")) or self.model
        self.id = _text(_get(answer, "id")) or self.id
        usage = _get(answer, "usage")
        if usage is not None:
            self._read_openai_usage(usage)
        output = _get(answer, "output") or ()
        self.tool_calls = sum(1 for item in output if _get(item, "type") == "function_call")
        status = _text(_get(answer, "status"))
        if status == "incomplete":
            reason = _text(_get(_get(answer, "incomplete_details"), "reason"))
            self.finish_reasons = (reason or status,)
        elif status == "failed":
            self.failed = _text(_get(_get(answer, "error"), "code")) or status
            self.finish_reasons = (status,)
        elif status == "completed":
            self.finish_reasons = ("stop",)
        if self.content is not None and status in ("completed", "incomplete"):
            self.content = list(output)

    def _read_responses_event(self, event: object) -> None:
        kind = _get(event, "type")
        answer = _get(event, "response")
        if answer is not None:
            self._read_response(answer)
        elif kind == "response.output_text.delta" and self.content is not None:
            self._keep(_get(event, "delta"))

    def _read_message(self, message: object) -> None:
        self.model = _text(_get(message, "model")) or self.model
        self.id = _text(_get(message, "id")) or self.id
        self._read_anthropic_usage(_get(message, "usage"))
        self._read_stop(message)
        for block in _get(message, "content") or ():
            self.tool_calls += _get(block, "type") == "tool_use"
            if self.content is not None:
                self.content.append(block)

    def _read_message_start(self, event: object) -> None:
        self._read_message(_get(event, "message"))

    def _read_message_delta(self, event: object) -> None:
        self._read_anthropic_usage(_get(event, "usage"))
        self._read_stop(_get(event, "delta"))

    def _read_block_start(self, event: object) -> None:
        self.tool_calls += _get(_get(event, "content_block"), "type") == "tool_use"

    def _read_block_delta(self, event: object) -> None:
        if self.content is not None:
            self._keep(_get(_get(event, "delta"), "text"))

    def _read_error(self, event: object) -> None:
        self.failed = _text(_get(_get(event, "error"), "type")) or "error"

    def _read_stop(self, message: object) -> None:
        reason = _text(_get(message, "stop_reason"))
        if reason:
            self.finish_reasons = (reason,)

    def _read_anthropic_usage(self, usage: object) -> None:
        # Counts in later events are cumulative, and absent where nothing changed.
        counts = self._anthropic
        if counts is None:
            counts = self._anthropic = {}
        for name in (
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ):
            count = _count(usage, name)
            if count is not None:
                counts[name] = count
        thought = _count(_get(usage, "output_tokens_details"), "thinking_tokens")
        if thought is not None:
            counts["thinking_tokens"] = thought
        if counts:
            read = counts.get("cache_read_input_tokens", 0)
            created = counts.get("cache_creation_input_tokens", 0)
            self.usage = Usage(
                counts.get("input_tokens", 0) + read + created,
                counts.get("output_tokens", 0),
                read,
                created,
                counts.get("thinking_tokens", 0),
            )

    def _keep(self, text: object) -> None:
        if self.content is not None and isinstance(text, str) and text:
            if self.content and isinstance(self.content[-1], str):
                self.content[-1] += text
            else:
                self.content.append(text)

    @property
    def known_usage(self) -> Usage:
        """The usage, zeros if none was seen."""
        return self.usage or NO_USAGE


_ANTHROPIC: dict[str, Callable[[Answer, object], None]] = {
    "message": Answer._read_message,  # noqa: SLF001 - a table of this class's own methods
    "message_start": Answer._read_message_start,  # noqa: SLF001 - likewise
    "message_delta": Answer._read_message_delta,  # noqa: SLF001 - likewise
    "content_block_start": Answer._read_block_start,  # noqa: SLF001 - likewise
    "content_block_delta": Answer._read_block_delta,  # noqa: SLF001 - likewise
    "error": Answer._read_error,  # noqa: SLF001 - likewise
}


_SHAPES: dict[str, Callable[[Answer, object], None]] = {
    "response": Answer._read_response,  # noqa: SLF001 - likewise
    "chat.completion": Answer._read_chat,  # noqa: SLF001 - likewise
    "chat.completion.chunk": Answer._read_chat,  # noqa: SLF001 - likewise
    "text_completion": Answer._read_chat,  # noqa: SLF001 - likewise
}
_READERS: dict[type, Callable[[Answer, object], None]] = {}


def _reader(answer: object) -> Callable[[Answer, object], None]:
    kind = _get(answer, "type")
    if isinstance(kind, str) and kind:
        if kind.startswith("response."):
            return Answer._read_responses_event  # noqa: SLF001 - one of this module's own
        if kind == "chunk":
            return Answer._read_wrapped  # noqa: SLF001 - likewise
        return _ANTHROPIC.get(kind, Answer._read_nothing)  # noqa: SLF001 - likewise
    shape = _get(answer, "object")
    return _SHAPES.get(shape if isinstance(shape, str) else "", Answer._read_other)  # noqa: SLF001 - likewise


def _get(thing: object, name: str) -> Any:
    if type(thing) is dict:
        return thing.get(name)
    if isinstance(thing, Mapping):
        return thing.get(name)
    return getattr(thing, name, None)


def _has(thing: object, name: str) -> bool:
    """Tell whether a field is there, at the price of a look instead of a failed one."""
    if type(thing) is dict:
        return name in thing
    fields = getattr(type(thing), "model_fields", None)
    return _get(thing, name) is not None if fields is None else name in fields


def _count(thing: object, name: str) -> int | None:
    value = _get(thing, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value[:_TEXT_MAX] if isinstance(value, str) and value else None

"""What Alertmanager's API takes and gives, as JSON.

Source: Alertmanager's ``api/v2/openapi.yaml``. What does not fit it is answered as the generated
server there does: ``{"code": …, "message": …}``, with 422 for a value and 400 for broken JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import re2

from watchkeeper.server.alerts.config.model import Matcher, Op
from watchkeeper.server.alerts.dispatch.alerts import ActiveAlert
from watchkeeper.server.alerts.dispatch.engine import Status
from watchkeeper.server.alerts.dispatch.silences import Silence
from watchkeeper.vocabulary.limits import limit

__all__ = [
    "PostedAlert", "Refusal", "alert_json", "parse_alerts", "parse_silence", "silence_json",
    "time_json",
]  # fmt: skip

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REQUIRED, _TYPE, _FEW = 602, 601, 612
"""Codes of go-openapi/errors."""


class Refusal(Exception):  # noqa: N818 - an answer, turned into one where it is caught
    """A request that is answered with an error.

    Args:
        status: The HTTP status.
        body: The answer, to be encoded; None for an empty one.
    """

    def __init__(self, status: int, body: object = None) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


def _invalid(code: int, message: str) -> Refusal:
    return Refusal(422, {"code": code, "message": message})


@dataclass(frozen=True, slots=True)
class PostedAlert:
    """One alert of a request; `problem` says why it cannot be taken."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_ms: int | None
    ends_ms: int | None
    generator_url: str
    problem: str = ""


def _decoded(body: bytes, kind: type, what: str) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(
            400, {"code": 400, "message": f'parsing {what} body from "" failed, because {error}'}
        ) from None
    if not isinstance(value, kind):
        words = f'parsing {what} body from "" failed, because it is no JSON {kind.__name__}'
        raise Refusal(400, {"code": 400, "message": words})
    return value


def parse_alerts(body: bytes) -> list[PostedAlert]:
    """Return the alerts in the body of a ``POST /api/v2/alerts``.

    Raises:
        Refusal: The body is not of the declared form.
    """
    return [_alert(value, place) for place, value in enumerate(_decoded(body, list, "alerts"))]


def _alert(value: Any, place: int) -> PostedAlert:
    if not isinstance(value, dict):
        raise _invalid(_TYPE, f"{place} in body must be of type object")
    if value.get("labels") is None:
        raise _invalid(_REQUIRED, f"{place}.labels in body is required")
    url = _text(value.get("generatorURL") or "", f"{place}.generatorURL")
    if url and not _is_uri(url):
        raise _invalid(_TYPE, f'{place}.generatorURL in body must be of type uri: "{url[:200]}"')
    labels = _texts(value["labels"], f"{place}.labels")
    annotations = _texts(value.get("annotations") or {}, f"{place}.annotations")
    starts_ms = _moment(value.get("startsAt"), f"{place}.startsAt")
    ends_ms = _moment(value.get("endsAt"), f"{place}.endsAt")
    labels = {name: text for name, text in labels.items() if text}
    problem = _problem(labels, annotations)
    if not problem and starts_ms is not None and ends_ms is not None and ends_ms < starts_ms:
        problem = "start time must be before end time"
    return PostedAlert(labels, annotations, starts_ms, ends_ms, url, problem)


def _problem(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    if not labels:
        return "at least one label pair required"
    for what, texts in (("label", labels), ("annotation", annotations)):
        if "" in texts:
            return f'invalid {what} set: invalid name ""'
        if len(texts) > limit("alert_labels_max"):
            return f"too many {what}s: got {len(texts)}, accepted {limit('alert_labels_max')}"
        chars = sum(len(name) + len(text) for name, text in texts.items())
        if chars > limit("alert_text_chars_max"):
            return f"{what}s too long: got {chars} characters, accepted {limit('alert_text_chars_max')}"
    return ""


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return text.startswith("/") or (bool(parts.scheme) and " " not in text)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _invalid(_TYPE, f"{where} in body must be of type string")
    return value


def _texts(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _invalid(_TYPE, f"{where} in body must be of type object")
    return {name: _text(text, f"{where}.{name}") for name, text in value.items()}


def _moment(value: Any, where: str) -> int | None:
    """Return a time in Unix milliseconds; None if it is absent or Go's zero time."""
    if value in (None, ""):
        return None
    try:
        moment = datetime.fromisoformat(_text(value, where))
    except ValueError:
        raise Refusal(
            400, {"code": 400, "message": f"{where} in body is no time: {str(value)[:60]!r}"}
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None if moment.year == 1 else (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_silence(body: bytes) -> Silence:
    """Return the silence in the body of a ``POST /api/v2/silences``.

    Raises:
        Refusal: The body is not of the declared form.
    """
    value = _decoded(body, dict, "silence")
    for name in ("comment", "createdBy", "endsAt", "matchers", "startsAt"):
        if value.get(name) is None:
            raise _invalid(_REQUIRED, f"{name} in body is required")
    if not isinstance(value["matchers"], list):
        raise _invalid(_TYPE, "matchers in body must be of type array")
    if not value["matchers"]:
        raise _invalid(_FEW, "matchers in body should have at least 1 items")
    comment, author = (_text(value[name], name) for name in ("comment", "createdBy"))
    if len(comment) + len(author) > limit("alert_text_chars_max"):
        raise Refusal(400, "silence invalid: comment or author too long")
    return Silence(
        id=_text(value.get("id") or "", "id"),
        matchers=tuple(_matcher(item, place) for place, item in enumerate(value["matchers"])),
        starts_ms=_moment(value["startsAt"], "startsAt") or 0,
        ends_ms=_moment(value["endsAt"], "endsAt") or 0,
        created_by=author,
        comment=comment,
    )


def _matcher(value: Any, place: int) -> Matcher:
    if not isinstance(value, dict):
        raise _invalid(_TYPE, f"matchers.{place} in body must be of type object")
    for name in ("isRegex", "name", "value"):
        if value.get(name) is None:
            raise _invalid(_REQUIRED, f"matchers.{place}.{name} in body is required")
    regex, equal = value["isRegex"], value.get("isEqual", True)
    if not isinstance(regex, bool) or not isinstance(equal, bool | None):
        raise _invalid(_TYPE, f"matchers.{place} in body must have booleans")
    op = (
        ("!" if equal is False else "") + ("=~" if regex else "=")
        if regex or equal is False
        else "="
    )
    op = {"!=~": "!~"}.get(op, op)
    name, text = (_text(value[key], f"matchers.{place}.{key}") for key in ("name", "value"))
    try:
        return Matcher(name, cast(Op, op), text)
    except re2.error:
        raise Refusal(
            400, f"silence invalid: invalid label matcher {place}: no RE2 pattern: {text[:200]!r}"
        ) from None


def time_json(t_ms: int) -> str:
    """Return a time as the API writes it: ``2026-01-31T12:00:00.000Z``."""
    moment = _EPOCH + timedelta(milliseconds=t_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{t_ms % 1000:03d}Z"


def silence_json(silence: Silence, now_ms: int) -> dict[str, Any]:
    """Return a silence as the API shows it."""
    return {
        "id": silence.id,
        "status": {"state": silence.state(now_ms)},
        "updatedAt": time_json(silence.updated_ms),
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": time_json(silence.ends_ms),
        "matchers": [
            {
                "isEqual": matcher.op in {"=", "=~"},
                "isRegex": matcher.op in {"=~", "!~"},
                "name": matcher.name,
                "value": matcher.value,
            }
            for matcher in silence.matchers
        ],
        "startsAt": time_json(silence.starts_ms),
    }


def alert_json(
    alert: ActiveAlert, status: Status, receivers: Sequence[str], ends_ms: int
) -> dict[str, Any]:
    """Return an alert as the API shows it.

    Args:
        alert: The alert.
        status: Whether it is kept quiet.
        receivers: Names of those that it goes to.
        ends_ms: What is shown as its end while none is known: the API has no word for that.
    """
    shown: dict[str, Any] = {
        "annotations": dict(alert.annotations),
        "endsAt": time_json(ends_ms if alert.ends_ms is None else alert.ends_ms),
        "fingerprint": alert.fingerprint,
        "receivers": [{"name": name} for name in receivers],
        "startsAt": time_json(alert.starts_ms),
        "status": {
            "inhibitedBy": list(status.inhibited_by),
            "silencedBy": list(status.silenced_by),
            "state": status.state,
        },
        "updatedAt": time_json(alert.updated_ms),
        "labels": dict(alert.labels),
    }
    if alert.generator_url:
        shown["generatorURL"] = alert.generator_url
    return shown

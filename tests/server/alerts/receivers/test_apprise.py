"""Channels through apprise, told by a real request of the library to a server on loopback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.alerts.receivers.samples import HOSTILE, alert, hostile, notification, resolved

from watchkeeper.errors import NotifyError
from watchkeeper.server.alerts.config.model import Secret
from watchkeeper.server.alerts.receivers.apprise import AppriseSender, payload
from watchkeeper.server.alerts.receivers.fields import Fields
from watchkeeper.testing import Answer, FakeWebhook

# The library asks for a module that Python has put aside.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")


@pytest.fixture
def hook() -> Iterator[FakeWebhook]:
    """Yield a server that takes apprise's JSON."""
    with FakeWebhook() as fake:
        yield fake


def address(hook: FakeWebhook, path: str = "hidden") -> Secret:
    """Return apprise's address of *hook*."""
    return Secret(f"{hook.base_url.replace('http', 'json')}/{path}")


async def test_a_group_is_told_as_text(hook: FakeWebhook) -> None:
    """Title, text and kind go to the service; the answer names it and not its address."""
    sender = AppriseSender({"urls": (address(hook),)})
    delivery = await sender.send(notification(), {})
    await sender.send(resolved(), {})
    await sender.aclose()

    first, second = hook.notifications
    assert "[FIRING] ApiErrorRate: api fails 10% of its requests" == first["title"]
    assert ("failure", "success") == (first["type"], second["type"])
    assert "Since:      2026-01-01 00:00:00 UTC (12m)" in first["message"]
    assert "taken by" in delivery.answer
    assert "hidden" not in delivery.answer


async def test_a_repeated_attempt_leaves_out_who_has_taken_it(hook: FakeWebhook) -> None:
    """Nobody is told twice because another channel failed."""
    sender = AppriseSender({"urls": (address(hook, "a"), address(hook, "b"))})
    hook.answer_next(Answer(), Answer(500, b""))
    with pytest.raises(NotifyError, match="not taken") as caught:
        await sender.send(notification(key="k"), {})
    await sender.send(notification(key="k"), {})

    assert caught.value.retryable
    assert ["/a", "/b", "/b"] == [request.path.rstrip("/") for request in hook.requests]


async def test_a_file_of_addresses_is_read_anew(hook: FakeWebhook, tmp_path: Path) -> None:
    """One address a line."""
    file = tmp_path / "urls"
    file.write_text(f"{address(hook, 'a').reveal()}\n\n{address(hook, 'b').reveal()}\n")
    await AppriseSender({"urls": (Secret(source=str(file)),)}).send(notification(), {})

    assert 2 == len(hook.notifications)


@pytest.mark.parametrize("urls", [(), (Secret("nonsense://hidden"),), (Secret("hidden"),)])
async def test_an_address_that_names_no_service_is_final(urls: tuple[Secret, ...]) -> None:
    """The error does not show it."""
    with pytest.raises(NotifyError, match="address") as caught:
        await AppriseSender({"urls": urls}).send(notification(), {})

    assert not caught.value.retryable
    assert "hidden" not in str(caught.value)


async def test_the_address_is_in_no_log(
    hook: FakeWebhook, caplog: pytest.LogCaptureFixture
) -> None:
    """The library's own words are not let through."""
    caplog.set_level(logging.INFO)
    hook.answer_next(Answer(500, b""))
    with pytest.raises(NotifyError) as caught:
        await AppriseSender({"urls": (address(hook),)}).send(notification(), {})

    assert "hidden" not in caplog.text + str(caught.value)


async def test_a_service_that_hangs_is_given_up(hook: FakeWebhook) -> None:
    """The wait is bounded."""
    hook.answer_next(Answer(hang=True))
    sender = AppriseSender({"urls": (address(hook),), "timeout_ms": 300})
    with pytest.raises(NotifyError, match=r"no answer within 0.3 s") as caught:
        await sender.send(notification(), {})

    assert caught.value.retryable


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("own", [{}, {"title": "{{ .CommonLabels.job }}", "text": "{{ .CommonLabels }}"}])  # fmt: skip
def test_nothing_in_an_alert_mentions_anybody(text: str, own: dict[str, Any]) -> None:
    """No ``@everyone``, ``@here`` or ``<@id>`` is left that a chat would act on."""
    said = payload(hostile(text), Fields(own))
    for part in (said["title"], said["body"]):
        assert "<@" not in part
        assert "<!" not in part
        for word in ("@channel", "@here", "@everyone"):
            assert word not in part.lower()


def test_the_authors_own_mentions_work() -> None:
    """What the template says itself is left as it is."""
    own = Fields({"text": "@here {{ .CommonLabels.job }}"})

    assert "@here @\u2060here" == payload(notification(alert(job="@here")), own)["body"]

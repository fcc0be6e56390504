"""Who may read the metrics."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from tests.instrument.rig import Rig

from watchkeeper.errors import SettingError
from watchkeeper.instrument.integrations.scrape import Scraper
from watchkeeper.instrument.metrics.access import Access
from watchkeeper.instrument.metrics.listener import MetricsListener
from watchkeeper.instrument.settings import load

NEAR = ("10.0.0.0/8", "::1/128")


@pytest.mark.parametrize(
    ("token", "networks", "authorization", "address", "expected"),
    [
        ("", (), "", None, None),
        ("secret", (), "Bearer secret", "192.0.2.1", None),
        ("secret", (), "bearer  secret ", "192.0.2.1", None),
        ("secret", (), "", "192.0.2.1", 401),
        ("secret", (), "Bearer secre", "192.0.2.1", 401),
        ("secret", (), "Basic secret", "192.0.2.1", 401),
        ("sécret", (), "Bearer s\udcffcret", "192.0.2.1", 401),
        ("", NEAR, "", "10.1.2.3", None),
        ("", NEAR, "", "::ffff:10.1.2.3", None),
        ("", NEAR, "", "::1", None),
        ("", NEAR, "", "192.0.2.1", 403),
        ("", NEAR, "", "nonsense", 403),
        ("", NEAR, "", None, 403),
        ("secret", NEAR, "Bearer secret", "10.1.2.3", None),
        ("secret", NEAR, "", "10.1.2.3", 401),
        ("secret", NEAR, "Bearer secret", "192.0.2.1", 403),
    ],
)
def test_both_conditions_hold_where_they_are_set(
    token: str,
    networks: tuple[str, ...],
    authorization: str,
    address: str | None,
    expected: int | None,
) -> None:
    """A token, if set, must be brought, and the address must be in a network, if any is given."""
    assert expected == Access(token, networks).refusal(authorization, address)


def test_the_settings_reach_applications() -> None:
    """Inside an application a refusal says what is missing, and shows nothing."""
    scraper = Scraper(Rig(metrics_token="secret"))
    status, headers, body = scraper.answer("", "", "127.0.0.1")

    assert (401, ("WWW-Authenticate", "Bearer")) == (status, headers[-1])
    assert b"not allowed\n" == body
    assert 200 == scraper.answer("", "Bearer secret", "127.0.0.1")[0]


def test_a_network_that_cannot_be_read_is_refused() -> None:
    """A misspelt network is an error at the start, not an open door."""
    assert ("10.0.0.0/8", "127.0.0.1/32") == load(
        {"metrics_allow": "10.0.0.0/8, 127.0.0.1"}, {}
    ).metrics_allow
    with pytest.raises(SettingError, match="metrics_allow"):
        load({"metrics_allow": ["10.0.0.1/8"]}, {})


@pytest.fixture
def guarded() -> Iterator[MetricsListener]:
    """Return a side listener that asks for a token."""
    listener = MetricsListener(
        lambda _: (b"x 1\n", "text/plain"), service="s", refusal=Access("secret").refusal
    )
    listener.start()
    yield listener
    listener.stop()


def test_the_side_listener_asks_too(guarded: MetricsListener) -> None:
    """The listener beside the application follows the same rule."""
    statuses = []
    for headers in ({}, {"Authorization": "Bearer secret"}):
        connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=5)
        connection.request("GET", "/metrics", headers=headers)
        answer = connection.getresponse()
        answer.read()
        statuses.append((answer.status, answer.headers["WWW-Authenticate"]))
        connection.close()

    assert [(401, "Bearer"), (200, None)] == statuses

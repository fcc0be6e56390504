"""Signed links: what they allow, for how long, and which keys they need."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.alerting.escalation.samples import NOON_MS

from watchkeeper.errors import IncidentError
from watchkeeper.server.alerts.escalation.links import Grant, LinkKeys, token_digest
from watchkeeper.vocabulary.limits import limit

AGE_MS = limit("link_age_s_max") * 1000


def test_a_link_allows_what_was_signed(tmp_path: Path) -> None:
    """A token gives back verb, incident and person, until just before its end."""
    keys = LinkKeys(tmp_path)
    token = keys.sign("acknowledge", "abc", "alice & co", NOON_MS)

    expected = Grant("acknowledge", "abc", "alice & co", NOON_MS + AGE_MS)
    assert keys.read(token, NOON_MS + AGE_MS - 1) == expected


def test_a_link_ends(tmp_path: Path) -> None:
    """From its end on a token is refused, and the error says for how long it was valid."""
    keys = LinkKeys(tmp_path)
    token = keys.sign("acknowledge", "abc", "alice", NOON_MS)

    with pytest.raises(IncidentError, match="time is over: it was valid for 24 hours"):
        keys.read(token, NOON_MS + AGE_MS)


def test_the_keys_are_the_owners_alone(tmp_path: Path) -> None:
    """The file is made with the first link, with mode 0600; a wider mode is narrowed."""
    path = tmp_path / "link-keys.json"
    LinkKeys(tmp_path).sign("take", "abc", "alice", NOON_MS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    LinkKeys(tmp_path).sign("take", "abc", "alice", NOON_MS)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_links_outlive_a_restart_and_a_rotation(tmp_path: Path) -> None:
    """A new key signs new links; the one before is accepted for as long as its links live."""
    keys = LinkKeys(tmp_path)
    token = keys.sign("resolve", "abc", "alice", NOON_MS)
    keys.rotate(NOON_MS + 1)
    again = LinkKeys(tmp_path)
    newer = again.sign("resolve", "abc", "alice", NOON_MS + 2)

    assert newer.partition(".")[0] != token.partition(".")[0]
    assert again.read(token, NOON_MS + 3).incident == "abc"
    again.rotate(NOON_MS + 2 + AGE_MS)
    with pytest.raises(IncidentError, match="not ours"):
        again.read(token, NOON_MS + 3)
    assert again.read(newer, NOON_MS + 3).incident == "abc"


def test_a_key_is_replaced_after_thirty_days(tmp_path: Path) -> None:
    """Keys change without anybody doing anything."""
    keys = LinkKeys(tmp_path)
    first = keys.sign("take", "abc", "alice", NOON_MS).partition(".")[0]

    assert keys.sign("take", "abc", "alice", NOON_MS + 86_400_000).partition(".")[0] == first
    assert keys.sign("take", "abc", "alice", NOON_MS + 30 * 86_400_000).partition(".")[0] != first


def test_damaged_keys_are_set_aside(tmp_path: Path) -> None:
    """A file that cannot be read is kept under another name; links are made with new keys."""
    (tmp_path / "link-keys.json").write_text("{")
    keys = LinkKeys(tmp_path)

    assert keys.read(keys.sign("take", "abc", "alice", NOON_MS), NOON_MS).who == "alice"
    assert (tmp_path / "link-keys.corrupt").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), digit=st.characters(codec="utf-8"), extra=st.text(max_size=3))
def test_no_changed_link_is_accepted(tmp_path: Path, at: int, digit: str, extra: str) -> None:
    """A token with a changed or added character is refused, or names the very same thing."""
    keys = LinkKeys(tmp_path)
    token = keys.sign("acknowledge", "abc", "alice", NOON_MS)
    place = at % len(token)
    forged = token[:place] + digit + token[place + 1 :] + extra
    try:
        grant = keys.read(forged, NOON_MS)
    except IncidentError:
        return
    assert grant == keys.read(token, NOON_MS)
    assert token_digest(forged) == token_digest(token)


@given(text=st.text(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_accepted_by_chance(tmp_path: Path, text: str) -> None:
    """Whatever comes instead of a token is refused with a clear error and nothing else."""
    keys = LinkKeys(tmp_path)
    keys.rotate(NOON_MS)
    with pytest.raises(IncidentError, match="not ours"):
        keys.read(text, NOON_MS)

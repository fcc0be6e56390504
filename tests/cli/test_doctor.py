"""The doctor names what is wrong and how to mend it."""

from __future__ import annotations

import socket

import pytest

from watchkeeper.cli import doctor
from watchkeeper.testing import free_port


def test_an_endpoint_that_does_not_answer_is_bad() -> None:
    """Nothing listening is a bad finding with a fix."""
    port = free_port()
    (finding,) = doctor.check_endpoint(f"http://127.0.0.1:{port}")

    assert finding.level == "bad"
    assert "watchkeeper serve" in finding.fix


def test_an_endpoint_that_listens_is_ok() -> None:
    """An open port is enough for the check."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        (finding,) = doctor.check_endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}")

    assert finding.level == "ok"


def test_a_port_in_use_is_a_warning() -> None:
    """A held port is named, with another one to use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        (finding,) = doctor.check_port(port)

    assert finding.level == "warn"
    assert str(port + 1) in finding.fix


def test_an_obstructive_environment_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that switch telemetry off are found."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert [finding.level for finding in doctor.check_environment()] == ["warn"]


def test_every_finding_that_is_not_ok_has_a_fix() -> None:
    """Each check returns findings, and bad news comes with a remedy."""
    findings = [finding for check in doctor.CHECKS for finding in check()]

    assert len(findings) >= len(doctor.CHECKS)
    assert [finding for finding in findings if finding.level != "ok" and not finding.fix] == []

"""The exporters that the settings ask for."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from watchkeeper.clock import Clock
from watchkeeper.errors import SettingError
from watchkeeper.instrument.recorder import Exporter, GrpcExporter, HttpExporter, Signal
from watchkeeper.instrument.settings import Settings
from watchkeeper.instrument.settings.targets import Target, target

__all__ = ["exporters"]

_SIGNALS: tuple[Signal, ...] = ("traces", "logs")


def exporters(settings: Settings, clock: Clock) -> Mapping[Signal, Exporter]:
    """Return the exporter of each signal that is exported; one for both where they can share it.

    Args:
        settings: The settings in force.
        clock: Times the requests.

    Raises:
        SettingError: A URL, certificate or file cannot be used, or grpcio is missing.
    """
    targets = {signal: target(settings, signal) for signal in _SIGNALS} if settings.enabled else {}
    wanted = {signal: found for signal, found in targets.items() if found is not None}
    shared: dict[tuple[object, ...], Exporter] = {}
    made: dict[Signal, Exporter] = {}
    for signal, goal in wanted.items():
        if goal.channel not in shared:
            urls = {name: t.url for name, t in wanted.items() if t.channel == goal.channel}
            wait_s = settings.export_retry_after_s_max
            shared[goal.channel] = _exporter(goal, urls, clock, wait_s)
        made[signal] = shared[goal.channel]
    return made


def _exporter(
    goal: Target, urls: Mapping[Signal, str], clock: Clock, retry_after_s_max: float
) -> Exporter:
    if goal.protocol == "grpc":
        return GrpcExporter(
            goal.url,
            headers=dict(goal.headers),
            timeout_s=goal.timeout_s,
            compress=goal.compress,
            certificates=_pem(goal),
            retry_after_s_max=retry_after_s_max,
        )
    return HttpExporter(
        goal.url,
        clock=clock,
        headers=dict(goal.headers),
        urls=urls,
        timeout_s=goal.timeout_s,
        compress=goal.compress,
        tls=_tls(goal),
        retry_after_s_max=retry_after_s_max,
    )


def _tls(goal: Target) -> ssl.SSLContext | None:
    if not (goal.certificate or goal.client_certificate):
        return None
    try:
        context = ssl.create_default_context(cafile=goal.certificate or None)
        if goal.client_certificate:
            context.load_cert_chain(goal.client_certificate, goal.client_key or None)
    except (OSError, ssl.SSLError) as error:
        raise _unreadable(goal, error) from error
    return context


def _pem(goal: Target) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return authorities, client key and client certificates as grpcio wants them."""
    try:
        authorities, key, chain = (
            _bytes(path) for path in (goal.certificate, goal.client_key, goal.client_certificate)
        )
    except OSError as error:
        raise _unreadable(goal, error) from error
    return authorities, key, chain


def _bytes(path: str) -> bytes | None:
    if not path:
        return None
    with open(path, "rb") as file:  # noqa: PTH123 - as quick, without another import
        return file.read()


def _unreadable(goal: Target, error: Exception) -> Exception:
    return SettingError.explain(
        f"the certificates for {goal.url} cannot be used",
        got={
            "certificate": goal.certificate,
            "client_certificate": goal.client_certificate,
            "client_key": goal.client_key,
        },
        accepted="paths of readable PEM files; the key belongs to the client certificate",
        next_step=f"correct the paths or the files ({type(error).__name__}: {error})",
    )

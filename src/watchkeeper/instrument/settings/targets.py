"""Where one signal goes, out of the common settings and the signal's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from watchkeeper.errors import SettingError
from watchkeeper.instrument import parse
from watchkeeper.instrument.settings.table import Settings

__all__ = ["SIGNALS", "Target", "target"]

SIGNALS = ("traces", "logs")
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+")


class Target(NamedTuple):
    """One signal's endpoint and how it is reached."""

    protocol: str
    """``http/protobuf`` or ``grpc``."""
    url: str
    """Whole URL of HTTP requests; scheme, host and port for gRPC."""
    headers: tuple[tuple[str, str], ...]
    timeout_s: float
    compress: bool
    certificate: str
    client_certificate: str
    client_key: str

    @property
    def channel(self) -> tuple[object, ...]:
        """What two signals must have in common to share one connection."""
        scheme, _, rest = self.url.partition("://")
        return (*self._replace(url=f"{scheme}://{rest.partition('/')[0]}"),)


def target(settings: Settings, signal: str) -> Target | None:
    """Return where *signal* goes, or None if it goes nowhere over OTLP.

    Args:
        settings: The settings in force.
        signal: ``traces`` or ``logs``.

    Raises:
        SettingError: The file of headers cannot be read.
    """
    if "otlp" not in getattr(settings, f"{signal}_exporter"):
        return None
    own = {name: getattr(settings, f"{signal}_{name}") for name in _OWN}
    protocol = own["protocol"] or settings.protocol
    url = own["endpoint"]
    if not url:
        url = settings.endpoint
        if not url:
            return None
        if protocol == "grpc":
            if settings.origins.get("endpoint", "default") == "default":
                url = url.replace(":4318", ":4317")
        else:
            url = f"{url}/v1/{signal}"
    if "://" not in url:
        insecure = settings.insecure if own["insecure"] is None else own["insecure"]
        url = f"{'http' if insecure else 'https'}://{url}"
    headers = own["headers"] or {**_from_file(settings.headers_file), **settings.headers}
    return Target(
        protocol,
        url,
        tuple(headers.items()),
        _timeout_s(settings, signal),
        _compresses(own["compression"] or settings.compression, url),
        own["certificate"] or settings.certificate,
        own["client_certificate"] or settings.client_certificate,
        own["client_key"] or settings.client_key,
    )


def _compresses(compression: str, url: str) -> bool:
    if compression != "auto":
        return compression == "gzip"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        # Said where the URL is used.
        return True
    # Packing costs more than what passes through memory.
    return not (host in {"localhost", "::1"} or _LOOPBACK.fullmatch(host))


_OWN = (
    "endpoint",
    "protocol",
    "headers",
    "insecure",
    "compression",
    "certificate",
    "client_certificate",
    "client_key",
)


def _timeout_s(settings: Settings, signal: str) -> float:
    own: float | None = getattr(settings, f"{signal}_timeout_s")
    if own is None:
        return settings.export_timeout_s
    if settings.origins.get(f"{signal}_timeout_s", "").endswith("_EXPORT_TIMEOUT"):
        # The processor's bound is around the exporter's: the shorter one counts.
        return min(own, settings.export_timeout_s)
    return own


def _from_file(path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        parts = [line.partition(":") for line in lines if line.strip() and not line.startswith("#")]
        return dict(parse.pairs({name.strip(): value.strip() for name, _, value in parts}))
    except (OSError, ValueError) as error:
        raise SettingError.explain(
            "the file of headers cannot be read",
            got=path,
            accepted="a UTF-8 file with one `name: value` a line; # begins a comment",
            next_step=f"correct headers_file or the file ({type(error).__name__})",
        ) from error

"""How the embedded server runs, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from watchkeeper.errors import SettingError
from watchkeeper.server.store.settings import StoreSettings

__all__ = ["LOOPBACK", "ServerSettings"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""The only hosts that the server may listen on: it has no authentication yet."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of the embedded server.

    Raises:
        SettingError: A value is out of its range.
    """

    data_dir: Path
    """Where everything is kept; made with mode 0700."""
    targets_dir: Path
    """Folder of Prometheus ``file_sd`` files; need not exist yet."""
    host: str = "127.0.0.1"
    """One of `LOOPBACK`."""
    port: int = 8400
    """UI, query APIs and OTLP/HTTP."""
    otlp_port: int = 4318
    """The same on OTLP's usual port; 0 is off."""
    scrape_interval_s: float = 5.0
    """Seconds between scrapes; from 0.5 to 300."""
    scrape_targets: tuple[str, ...] = ()
    """Further targets: ``host:port[/path][,label=value…]``."""
    rule_files: tuple[Path, ...] = ()
    """Prometheus rule files, folders of them, or patterns; the rules that ship, if empty."""
    prometheus_url: str = field(default="", repr=False)
    """Evaluate rules on the Prometheus at this address; empty: on what is stored here. Its
    credentials, if it has any, are secret."""
    external_url: str = ""
    """Address under which people reach this server, for the links in messages: that of a proxy in
    front of it, for example ``https://watch.example``. Empty: ``http://127.0.0.1:`` and the port."""
    eval_interval_s: float = 15.0
    """Seconds between rule evaluations, where a group names none; from 0.5 to 3600."""
    alertmanager_config: Path | None = None
    """An ``alertmanager.yml``; without one, alerts go to `slack_webhook_url` or to the log."""
    escalation_file: Path | None = None
    """An ``escalation.yml``; without one, incidents are kept and nobody is told further."""
    slack_webhook_url: str = field(default="", repr=False)
    """Where alerts go; a secret. Empty: alerts are shown and logged only."""
    store: StoreSettings = field(default_factory=StoreSettings)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.host not in LOOPBACK:
            raise SettingError(
                f"the server listens on loopback only: got host {self.host!r}. "
                f"Accepted: {', '.join(LOOPBACK)}. "
                "Next: put a proxy that authenticates in front of it."
            )
        address = urlsplit(self.prometheus_url)
        if self.prometheus_url and not (address.scheme in {"http", "https"} and address.hostname):
            raise SettingError(
                f"prometheus_url is no address: got the scheme {address.scheme[:20]!r} and the host "
                f"{(address.hostname or '')[:80]!r}. Accepted: http://HOST:PORT or "
                "https://HOST. Next: give the address below which /api/v1/query lies."
            )
        outside = urlsplit(self.external_url)
        if self.external_url and (
            outside.scheme not in {"http", "https"}
            or not outside.hostname
            or outside.username is not None
            or outside.query
            or outside.fragment
        ):
            raise SettingError(
                f"external_url is no address for links: got the scheme {outside.scheme[:20]!r} and "
                f"the host {(outside.hostname or '')[:80]!r}. Accepted: http(s)://HOST[:PORT][/PATH] "
                "without user, query and fragment. Next: give what people type into a browser."
            )
        for name, low, high in (
            ("port", 0, 65535),
            ("otlp_port", 0, 65535),
            ("scrape_interval_s", 0.5, 300),
            ("eval_interval_s", 0.5, 3600),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingError(
                    f"{name} is out of range: got {value}. Accepted: {low} to {high}. "
                    "Next: correct the setting."
                )

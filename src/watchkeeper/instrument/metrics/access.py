"""Who may read the metrics: one rule for the side listener and for paths in applications. Pure."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence

__all__ = ["Access"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Access:
    """Decides by token and by network; what is not asked for is not checked.

    Args:
        token: What a request must bring as ``Authorization: Bearer``; "" asks for none.
        networks: Networks that a client's address must be in, ``10.0.0.0/8`` for example; none
            lets every address pass.

    Raises:
        ValueError: A network cannot be read.
    """

    def __init__(self, token: str = "", networks: Sequence[str] = ()) -> None:
        self._token = token.encode()
        self._networks: list[_Network] = [ipaddress.ip_network(one) for one in networks]

    @property
    def open(self) -> bool:
        """Whether everybody may read."""
        return not self._token and not self._networks

    def refusal(self, authorization: str, address: str | None) -> int | None:
        """Return the status of a refusal, or None if the request may be answered.

        Args:
            authorization: The request's header ``Authorization``, "" if there is none.
            address: The client's address; None, as of a Unix socket, is in no network.

        Returns:
            403 for an address outside the networks, 401 for a missing or wrong token.
        """
        if self._networks and not self._near(address):
            return 403
        if not self._token:
            return None
        scheme, _, given = authorization.partition(" ")
        right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        return None if right and scheme.lower() == "bearer" else 401

    def _near(self, address: str | None) -> bool:
        try:
            found = ipaddress.ip_address((address or "").partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)

"""How often each client may ask: one token bucket a client, a bounded number of them, with the clock passed in."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

_MOST_CLIENTS = 10_000


class Rates:
    """Token buckets by client: `burst` requests at once, refilled at `per_s` a second; `per_s` 0 sets no limit.

    A client that is not known has a full bucket, so full ones are forgotten, and where more clients come than are
    remembered the one that was quiet longest is.
    """

    def __init__(self, per_s: float, burst: float, most_clients: int = _MOST_CLIENTS) -> None:
        self._per_s = per_s
        self._burst = burst
        self._most = most_clients
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Counts one request at `now` (seconds). Returns 0, or the seconds until the next one is taken."""
        if not self._per_s:
            return 0.0
        left = self._level(client, now)
        if left < 1:
            return (1 - left) / self._per_s
        self._buckets[client] = (left - 1, now)
        self._buckets.move_to_end(client)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._buckets)

    def _level(self, client: str, now: float) -> float:
        left, at = self._buckets.get(client, (self._burst, now))
        return min(self._burst, left + max(0.0, now - at) * self._per_s)


def client_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 network of an IPv6 one, which one host has to itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))

"""The tests talk to this machine alone: sockets and look-ups of names that lead elsewhere fail."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

NAMES = {"", "localhost", socket.gethostname()}
"""What this machine is called."""


def is_here(host: Any) -> bool:
    """Whether a host's name or address is this machine's own; None stands for any of its own."""
    name = "" if host is None else host.decode() if isinstance(host, bytes) else str(host)
    if name in NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def keep_here() -> None:
    """From now on connecting to, sending to and looking up other machines is a PermissionError."""

    def guarded(method: Callable[..., Any], place: int) -> Callable[..., Any]:
        def call(self: socket.socket, *given: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                check(given[place][0])
            return method(self, *given)

        return call

    def looking_up(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(host: Any, *given: Any, **named: Any) -> Any:
            check(host)
            return function(host, *given, **named)

        return call

    def check(host: Any) -> None:
        if not is_here(host):
            raise PermissionError(f"a test wants to reach {host!r}, which is another machine")

    for name, place in {"connect": 0, "connect_ex": 0, "sendto": -1}.items():
        setattr(socket.socket, name, guarded(getattr(socket.socket, name), place))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        setattr(socket, name, looking_up(getattr(socket, name)))

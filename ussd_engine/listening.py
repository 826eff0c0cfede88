"""The sockets that the service listens on, made before anything else starts."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ussd_engine.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def bound(host: str, port: int) -> Iterator[list[socket.socket]]:
    """A socket for every address of `host`, closed at the end of the block.

    None listens yet: who connects before the service is ready is refused. Raises SettingsError.
    """
    with ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            sockets = [stack.enter_context(_bind(family, address)) for family, _, _, _, address in found]
        except OSError as error:
            raise cannot_listen(f"{host}:{port}", error) from error
        yield sockets


def cannot_listen(where: str, error: OSError) -> SettingsError:
    return SettingsError(
        f"cannot listen on {where} ({error.strerror}): "
        "end what uses it, or take another with --port or USSD__SERVER__PORT"
    )


def _bind(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # IPv4 has a socket of its own
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener

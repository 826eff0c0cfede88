"""A file that is made once, for its owner alone: keys, whichever process is the first to need them."""

from __future__ import annotations

import os
from pathlib import Path


def create_once(path: Path, text: str) -> None:
    """Write the whole file or nothing. When another process was first, its file is the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()

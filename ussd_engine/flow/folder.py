"""Which files of a folder are its flows."""

from __future__ import annotations

import os
from pathlib import Path


def files_of(folder: Path) -> list[Path]:
    """Every .yaml and .yml file below the folder, in order, but those below a folder named `tests`.

    What is hidden does not count, and who mounts or copies a folder hides things there: a ConfigMap its versions,
    macOS what it knows of each file, an editor its copies.
    """
    found = []
    for parent, folders, names in os.walk(folder):  # unlike rglob it goes on where a folder goes meanwhile
        folders[:] = [name for name in folders if name != "tests" and not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(file for file in found if file.suffix in {".yaml", ".yml"} and file.is_file())

"""What detectors have learned, on disk: one file a snapshot, named by the window it includes; the newest two are kept.

A file is written beside, synced and renamed, so it is whole or not there. One that cannot be read (a disk gone bad, an
older version) is passed over for the one before it; without any, learning starts again from what the store holds.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import structlog

from gateway.services.judgement import Arrays

VERSION = 1  # of the layout; an older file is passed over
KEPT = 2
log = structlog.get_logger(__name__)


def save(folder: Path, window: int, parts: Mapping[str, Arrays]) -> Path:
    """Write the state after `window`. Raises OSError where the disk is full; older snapshots stay."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{window:012d}.npz"
    beside = path.with_suffix(".part")
    flat = {f"{part}|{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
    try:
        with beside.open("wb") as file:
            np.savez(file, **{"version": np.array([VERSION]), **flat})  # type: ignore[arg-type]  # names are free
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load(folder: Path) -> tuple[int, dict[str, Arrays]]:
    """(window, parts) of the newest snapshot that can be read; (0, {}) where there is none."""
    for path in _newest_first(folder):
        try:
            with np.load(path, allow_pickle=False) as held:
                if int(held["version"][0]) == VERSION:
                    return int(path.stem), _parts({name: held[name] for name in held.files if name != "version"})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as exc:
            log.warning("snapshot.unreadable", file=path.name, error=type(exc).__name__)
    return 0, {}


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz"), reverse=True)


def _parts(flat: Mapping[str, np.ndarray]) -> dict[str, Arrays]:
    parts: dict[str, Arrays] = {}
    for key, array in flat.items():
        part, _, name = key.partition("|")
        parts.setdefault(part, {})[name] = array
    return parts

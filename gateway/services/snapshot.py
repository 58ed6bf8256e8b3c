"""What detectors have learned, on disk: one file a snapshot, named by the window it includes; the newest two are kept.

A file is written beside, synced and renamed, so it is whole or not there. One that cannot be read (a disk gone bad, an
older layout) is passed over for the one before it; without any, learning starts again from what the store holds.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import structlog

from gateway.services.judgement import Arrays

T = TypeVar("T")

VERSION = 3  # of the layout; an older file is passed over
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
    held = _newest_first(folder)
    at = held.index(path)  # those of higher windows are of a store that is gone
    for other in (*held[:at], *held[at + KEPT :]):
        other.unlink(missing_ok=True)
    return path


def restore(folder: Path, make: Callable[[Mapping[str, Arrays]], T]) -> tuple[int, T]:
    """(window, what `make` gives) of the newest snapshot that fits; (0, `make` of nothing) where none does."""
    for path in _newest_first(folder):
        try:
            return int(path.stem), make(_read(path))
        except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile, EOFError) as exc:
            log.warning("snapshot.unfit", file=path.name, error=f"{type(exc).__name__}: {exc}"[:200])
    return 0, make({})


def _read(path: Path) -> dict[str, Arrays]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
        if int(held["version"][0]) != VERSION:
            raise ValueError(f"layout {held['version'][0]}, this version writes {VERSION}")
        parts: dict[str, Arrays] = {}
        for key in held.files:
            part, _, name = key.partition("|")
            if name:
                parts.setdefault(part, {})[name] = held[key]
        return parts


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz"), reverse=True)

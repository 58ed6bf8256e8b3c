"""The scorers that come with public data: found above the data, above those trained on, or in the shared folder."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType


def shared() -> Path:
    """Where data and scorers are when nobody says otherwise: `$BEFOREHAND_SHARED`, else `../shared`."""
    return Path(os.environ.get("BEFOREHAND_SHARED", Path(__file__).parents[3] / "shared"))


def load(name: str, *roots: Path | None) -> ModuleType:
    """The module `bench/<name>.py` of the nearest folder above one of the roots.

    Raises:
        FileNotFoundError: it is nowhere.
    """
    above = [folder for root in roots if root is not None for folder in (root.resolve(), *root.resolve().parents)]
    for folder in (*above, shared()):
        path = folder / "bench" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path) if path.exists() else None
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError(f"bench/{name}.py is neither above the data nor in {shared()}: set BEFOREHAND_SHARED")

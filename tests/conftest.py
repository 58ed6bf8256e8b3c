"""What all tests share: where real public data lie, and free ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("BEFOREHAND_SHARED", ROOT.parent / "shared"))


@pytest.fixture
def shared_data() -> Path:
    """The folder of public data sets, or a skip."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"public data are not at {SHARED}; set BEFOREHAND_SHARED")
    return SHARED / "data"


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.services.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house whose gateway has just started for the first time."""
    made = House(tmp_path)
    yield made
    made.close()

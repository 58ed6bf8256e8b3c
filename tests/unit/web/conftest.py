"""One seeded console for all tests of the room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web_site import Site, seeded


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with seeded(tmp_path_factory.mktemp("console")) as held:
        yield held

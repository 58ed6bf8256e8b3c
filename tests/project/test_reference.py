"""Every setting, command and error code is documented, and the documents are current."""

from pathlib import Path

import pytest

from tests.project import reference, sizes

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_reference_is_what_the_code_says(name):
    assert (DOCS / name).read_text() == reference.PAGES[name](), "run `make docs`"


def test_modules_and_functions_keep_to_their_sizes():
    assert sizes.too_large() == []

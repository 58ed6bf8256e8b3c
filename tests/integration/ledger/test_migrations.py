"""The schema that migrations make is the one the code declares, and can be taken back."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from gateway import ledger
from gateway.errors import ConfigError
from gateway.ledger.tables import METADATA


def test_migrating_from_empty_gives_the_declared_tables(empty_url):
    engine = ledger.connect(empty_url)
    ledger.migrate(engine)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, METADATA)
        indexes = {index["name"] for index in inspect(connection).get_indexes("incidents")}

    assert differences == []
    assert "uq_incidents_open" in indexes
    engine.dispose()


def test_migrating_twice_changes_nothing_and_downgrading_leaves_nothing(empty_url):
    engine = ledger.connect(empty_url)
    ledger.migrate(engine)
    ledger.migrate(engine)
    ledger.migrate(engine, "base")

    with engine.connect() as connection:
        left = set(inspect(connection).get_table_names())

    assert left == {"alembic_version"}
    engine.dispose()


@pytest.mark.parametrize("url", ["mysql://x/y", "no url at all"])
def test_another_database_is_refused_with_the_way_out(url):
    with pytest.raises(ConfigError, match="bad_ledger_url"):
        ledger.connect(url)


def test_a_ledger_that_cannot_be_opened_is_told_in_one_sentence(tmp_path):
    engine = ledger.connect(f"sqlite:///{tmp_path}/missing/ledger.sqlite")

    with pytest.raises(ConfigError, match="ledger_away"):
        ledger.migrate(engine)

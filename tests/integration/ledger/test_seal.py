"""Personal data at rest: nothing readable in the database, everything readable with the key, and keys that change."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, MetaData, Text, select

from gateway import ledger
from gateway.errors import ConfigError
from gateway.ledger import audit, casebook, caseview, keys, outbox, people, persons, seal, workspace
from gateway.ledger.database import reading, writing
from gateway.ledger.tables import METADATA
from gateway.model import Customer
from gateway.services.inbound import Inbound
from tests.integration.ledger.fleet import CONTACT, T0, TEXTS, alert, settle_in

NAME = "Anna Wagner"
SAID = ("冰箱好像不太冷了", "Anna sounds worried", "it was the fan belt", CONTACT.address, NAME)


def live(engine: Engine) -> None:
    """A customer with a warning, an answer, a note, an agreement and an outcome."""
    turns, named = settle_in(engine), replace(CONTACT, name=NAME)
    people.save_customers(engine, [Customer(customer_id=CONTACT.customer_id, name=NAME, contacts=(named,))], now_ms=T0)
    (warning,) = turns.turn(alert()).messages
    outbox.mark_sending(engine, warning.message_id, now_ms=T0)
    inbound = Inbound(engine=engine, texts=TEXTS, now_ms=lambda: T0)
    people.record_consent(engine, "anna", "opt_in", source="console", wording="Anna sounds worried", at_ms=T0)
    inbound.reply(address=CONTACT.address, text=SAID[0], provider_id="SM1")
    casebook.comment(engine, "1", author="ben", text=SAID[1], now_ms=T0)
    casebook.record_outcome(engine, "1", "confirmed", author="ben", remark=SAID[2], now_ms=T0)


def at_rest(engine: Engine) -> str:
    """Every text of every table as the database holds it."""
    held, texts = MetaData(), []
    held.reflect(engine)
    with reading(engine) as connection:
        for table in held.sorted_tables:
            columns = [column for column in table.c if isinstance(column.type, Text)]
            if columns:
                texts += [str(value) for row in connection.execute(select(*columns)) for value in row]
    return "\n".join(texts)


def test_what_is_kept_of_people_cannot_be_read_without_the_key(engine):
    live(engine)

    kept = at_rest(engine)
    assert [said for said in SAID if said in kept] == []
    assert people.find_by_address(engine, "sms", CONTACT.address) == people.find_contact(engine, "anna")
    told = caseview.find_ticket(engine, "1")
    assert SAID[0] in [m.text for m in told.messages]
    assert {SAID[0], SAID[1], f"confirmed: {SAID[2]}"} <= {e.text for e in told.events}
    assert persons.hand_out(engine, CONTACT.customer_id)["contacts"][0]["address"] == CONTACT.address


def test_people_are_found_by_name_by_number_as_people_write_it_and_by_device(engine):
    live(engine)
    spaced = f"{CONTACT.address[:4]} {CONTACT.address[4:7]}-{CONTACT.address[7:]}"

    with reading(engine) as connection:
        found = [
            [row.customer_id for row in workspace.customer_page(connection, text=text).rows]
            for text in (NAME.upper(), spaced, "nobody", "d0")
        ]
        tickets = workspace.ticket_page(connection, text="wagner", queue="all").total
        phones = [row.contact_id for row in workspace.phones(connection, text=spaced)]

    assert found == [["c1"], ["c1"], [], ["c1"]]
    assert tickets == 1
    assert phones == ["anna"]


def opened(url: str, folder: Path) -> Engine:
    return ledger.open_ledger(url, folder / "ledger.key", now_ms=T0)


def test_the_first_start_makes_a_key_for_its_owner_alone(empty_url, tmp_path):
    opened(empty_url, tmp_path / "data").dispose()

    file = tmp_path / "data" / "ledger.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(seal.read_keys(file)) == 1


def test_an_earlier_ledger_is_sealed_at_the_first_start_and_opened_by_going_back(empty_url, tmp_path):
    plain = ledger.connect(empty_url)
    ledger.migrate(plain, "0005")
    live(plain)
    assert SAID[0] in at_rest(plain)
    plain.dispose()

    engine = opened(empty_url, tmp_path)
    assert [said for said in SAID if said in at_rest(engine)] == []
    assert people.find_by_address(engine, "sms", CONTACT.address) is not None

    ledger.migrate(engine, "-2")
    assert [said for said in SAID if said not in at_rest(engine)] == []
    engine.dispose()


def test_a_lost_key_is_told_and_not_replaced(empty_url, tmp_path):
    opened(empty_url, tmp_path).dispose()
    (tmp_path / "ledger.key").rename(tmp_path / "kept")

    with pytest.raises(ConfigError, match="ledger_key_missing"):
        opened(empty_url, tmp_path)
    plain = ledger.connect(empty_url)
    with pytest.raises(ConfigError, match="ledger_key_missing"):  # as `doctor` asks
        ledger.check_keys(plain, tmp_path / "ledger.key")
    plain.dispose()
    assert not (tmp_path / "ledger.key").exists()
    seal.write_keys(tmp_path / "ledger.key", [seal.new_key()])
    with pytest.raises(ConfigError, match="ledger_key_missing"):
        opened(empty_url, tmp_path)
    (tmp_path / "kept").rename(tmp_path / "ledger.key")
    opened(empty_url, tmp_path).dispose()


def test_a_new_key_seals_everything_and_stands_alone(empty_url, tmp_path):
    engine = opened(empty_url, tmp_path)
    live(engine)
    before = at_rest(engine)
    engine.dispose()
    (old,) = seal.read_keys(tmp_path / "ledger.key")

    name = ledger.rekey(empty_url, tmp_path / "ledger.key", actor="ada", now_ms=T0)

    (new,) = seal.read_keys(tmp_path / "ledger.key")
    assert new != old
    engine = opened(empty_url, tmp_path)
    assert not {text for text in at_rest(engine).split("\n") if text.startswith(seal.MARK)} & set(before.split("\n"))
    assert people.find_by_address(engine, "sms", CONTACT.address) is not None
    assert audit.recent(engine)[0].subject == f"key:{name}"
    assert audit.verify(engine) is None
    engine.dispose()


def test_a_change_of_keys_that_was_cut_short_goes_on_at_the_next_start(empty_url, tmp_path):
    engine = opened(empty_url, tmp_path)
    live(engine)
    engine.dispose()
    file = tmp_path / "ledger.key"
    seal.write_keys(file, [seal.new_key(), *seal.read_keys(file)])  # as `rekey` begins

    opened(empty_url, tmp_path).dispose()
    seal.write_keys(file, seal.read_keys(file)[:1])

    engine = opened(empty_url, tmp_path)
    assert people.find_contact(engine, "anna").address == CONTACT.address
    engine.dispose()


def test_many_rows_are_sealed_again_in_order(engine, monkeypatch):
    monkeypatch.setattr(keys, "ROWS", 2)
    live(engine)
    before = [e.text for e in caseview.find_ticket(engine, "1").events]

    seal.give(engine, seal.Vault([seal.new_key(), bytes(range(64))]))
    with writing(engine) as connection:
        keys.rewrite(connection, METADATA.sorted_tables)

    assert [e.text for e in caseview.find_ticket(engine, "1").events] == before

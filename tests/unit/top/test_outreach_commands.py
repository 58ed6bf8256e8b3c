"""`beforehand outbox` and `beforehand channel` on the ledger of a gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from gateway import ledger
from gateway.__main__ import app
from gateway.errors import ChannelDown, NotFound
from gateway.ledger import audit, caseview
from gateway.model import Message
from gateway.services.dispatch import Dispatch
from tests.integration.ledger.fleet import T0, alert, settle_in


class Refusing:
    """A provider that refuses our account."""

    name = "twilio"
    refuses = True
    sent = 0

    def send(self, _message: Message, *, address: str) -> str:
        if self.refuses:
            raise ChannelDown("refused", "Twilio 20003")
        self.sent += 1
        return "sid"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.cli.outreach.console.width", 200)
    (tmp_path / "data").mkdir()
    made = ledger.open_ledger(
        f"sqlite:///{tmp_path / 'data' / 'ledger.sqlite'}", tmp_path / "data" / "ledger.key", now_ms=T0
    )
    yield made
    made.dispose()


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_stopped_channel_is_listed_and_sends_again_once_resumed(engine: Engine) -> None:
    settle_in(engine).turn(alert())
    channel = Refusing()
    dispatch = Dispatch(engine=engine, channels={"sms": channel}, now_ms=lambda: T0 + 1_000)
    dispatch.round()
    listed, waiting = run("channel", "list"), run("outbox")
    channel.refuses = False
    dispatch.round()
    while_stopped = channel.sent
    resumed = run("channel", "resume", "twilio")
    dispatch.round()

    assert "twilio: refused" in listed
    assert "1 queued" in waiting
    assert "battery_wearing_out" in waiting
    assert (while_stopped, channel.sent) == (0, 1)
    assert "sends again" in resumed
    assert "no channel" in run("channel", "list")
    assert "1 sent" in run("outbox")
    assert "channel.resume" in [deed.action for deed in audit.recent(engine)]
    assert audit.verify(engine) is None


def test_resuming_a_channel_that_sends_is_refused_with_the_way_out(engine: Engine) -> None:
    with pytest.raises(NotFound, match="channel list"):
        run("channel", "resume", "twilio")


def test_no_address_is_shown(engine: Engine) -> None:
    settle_in(engine).turn(alert())
    shown = run("outbox")

    assert "msg_" in shown
    assert "4915112345678" not in shown
    assert caseview.list_tickets(engine)

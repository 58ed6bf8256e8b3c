"""What goes down to devices and what they answer, with the agent's own decoding at the other end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import wire
from edge.wire import Reported, WireError
from gateway import ledger
from gateway.errors import NotFound, Refused, TryLater
from gateway.ledger import audit, registry
from gateway.ledger.registry import NewDevice
from gateway.model import Birth, DeviceId
from gateway.services import downlink, provision
from gateway.services.downlink import LIFE_MS, Downlink
from gateway.services.provision import Credentials
from tests.unit.services.house import T0


class Link:
    """Keeps what is published; `away` refuses as a broker that is down does."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bool]] = []
        self.away = False

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        if self.away:
            raise TryLater("broker_away")
        self.sent.append((topic, payload, retain))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.engine = ledger.connect(f"sqlite:///{folder / 'ledger.sqlite'}")
        ledger.migrate(self.engine)
        wanted = [NewDevice(device_id=DeviceId(name), type="router") for name in ("r1", "r2")]
        self.made: dict[str, Credentials] = {
            made.device.device_id: made for made in provision.add(self.engine, wanted, now_ms=T0)
        }
        self.link = Link()
        self.down = Downlink(
            ledger=self.engine,
            source=self.link,
            now_ms=lambda: T0,
            folder=folder / "diagnostics",  # type: ignore[arg-type]
        )

    def received(self, device_id: str, *, by: str = "", now_ms: int = T0) -> wire.Command:
        """The newest command, as the agent of `by` takes it."""
        key = bytes.fromhex(self.made[by or device_id].command_key)
        return wire.decode_command(self.link.sent[-1][1], device_id=by or device_id, key=key, now_ms=now_ms)

    async def answer(self, device_id: str, order_id: str, text: str, *, code: str = "done") -> None:
        for part in wire.replies(order_id, ok=True, code=code, answer=text):
            await self.down.take("reply", self.made[device_id].device, wire.encode_reply(part))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.engine.dispose()


async def test_a_command_is_signed_for_its_device_and_lives_for_minutes(bench: Bench) -> None:
    order = await bench.down.command("r1", "diagnostics", {"lines": 50}, actor="ada")

    topic, _, retain = bench.link.sent[-1]
    said = bench.received("r1")
    assert (topic, retain) == ("bf/1/r1/command", False)
    assert (said.command_id, said.name, said.args) == (order.command_id, "diagnostics", {"lines": 50})
    with pytest.raises(WireError, match="bad_signature"):
        bench.received("r1", by="r2")
    with pytest.raises(WireError, match="expired"):
        bench.received("r1", now_ms=T0 + LIFE_MS)


async def test_no_two_commands_have_the_same_nonce(bench: Bench) -> None:
    nonces = set()
    for _ in range(20):
        await bench.down.command("r1", "ping", actor="ada")
        nonces.add(bench.received("r1").nonce)

    assert len(nonces) == 20


async def test_an_answer_in_parts_is_joined_in_any_order_and_diagnostics_are_kept(bench: Bench) -> None:
    order = await bench.down.command("r1", "diagnostics", actor="ada")
    text = "".join(f"line {n}\n" for n in range(20_000))
    parts = wire.replies(order.command_id, ok=True, code="done", answer=text)
    for part in reversed(parts):
        complete_before = order.complete
        await bench.down.take("reply", bench.made["r1"].device, wire.encode_reply(part))

    assert len(parts) > 2
    assert not complete_before
    assert bench.down.order("r1", order.command_id).text == text
    (kept,) = bench.down.folder.iterdir()
    assert kept.read_text() == text


async def test_a_hook_that_has_started_is_not_done_until_its_own_answer_is_whole(bench: Bench) -> None:
    order = await bench.down.command("r1", "selftest", actor="ada")
    await bench.answer("r1", order.command_id, "", code="started")
    last = wire.replies(order.command_id, ok=False, code="exit_3", answer="x" * 60_000)[1]
    await bench.down.take("reply", bench.made["r1"].device, wire.encode_reply(last))

    assert not order.complete
    assert (order.code, order.ok, order.answered_ms) == ("exit_3", False, T0)


async def test_open_pages_are_told_of_answers_and_reported_settings(bench: Bench) -> None:
    told: list[tuple[str, str]] = []
    bench.down.tell = lambda kind, subject: told.append((kind, subject))
    order = await bench.down.command("r1", "ping", actor="ada")
    await bench.answer("r1", order.command_id, "")
    await bench.down.take(
        "reported", bench.made["r2"].device, wire.encode_reported(Reported(version=1, settings={}, refused={}))
    )

    assert told == [("device", "r1"), ("device", "r1"), ("device", "r2")]
    assert bench.down.recent("r1") == (order,)


async def test_a_command_that_could_not_be_sent_is_not_waited_for(bench: Bench) -> None:
    bench.link.away = True
    with pytest.raises(TryLater, match="broker_away"):
        await bench.down.command("r1", "ping", actor="ada")

    assert bench.down.recent("r1") == ()


async def test_another_device_cannot_answer(bench: Bench) -> None:
    order = await bench.down.command("r1", "ping", actor="ada")
    await bench.answer("r2", order.command_id, "it is me")

    assert not order.complete
    with pytest.raises(NotFound, match="command"):
        bench.down.order("r2", order.command_id)


async def test_rubbish_from_a_device_is_dropped(bench: Bench) -> None:
    for kind in ("reply", "reported"):
        await bench.down.take(kind, bench.made["r1"].device, b"\x00rubbish")

    assert registry.find_device(bench.engine, "r1").reported in (None, {})


async def test_desired_settings_are_kept_and_published_retained_with_a_growing_version(bench: Bench) -> None:
    await bench.down.desire("r1", {"sample_every": "30s"}, actor="ada")
    version = await bench.down.desire("r1", {"sample_every": "10s"}, actor="ada")

    topic, payload, retain = bench.link.sent[-1]
    assert (topic, retain, version) == ("bf/1/r1/desired", True, 2)
    assert wire.decode_desired(payload).settings == {"sample_every": "10s"}
    assert registry.find_device(bench.engine, "r1").desired == {"version": 2, "settings": {"sample_every": "10s"}}


async def test_what_a_device_reports_is_kept(bench: Bench) -> None:
    said = Reported(version=2, settings={"sample_every": "10s"}, refused={"log_level": "unknown"})
    await bench.down.take("reported", bench.made["r1"].device, wire.encode_reported(said))

    assert registry.find_device(bench.engine, "r1").reported == {
        "version": 2, "settings": {"sample_every": "10s"}, "refused": {"log_level": "unknown"},
    }  # fmt: skip


async def test_settings_that_could_not_be_published_are_kept_for_the_next_try(bench: Bench) -> None:
    bench.link.away = True
    with pytest.raises(TryLater, match="broker_away"):
        await bench.down.desire("r1", {"sample_every": "30s"}, actor="ada")

    assert registry.find_device(bench.engine, "r1").desired == {"version": 1, "settings": {"sample_every": "30s"}}


async def test_a_device_born_with_older_settings_is_sent_the_newest_again(bench: Bench) -> None:
    await bench.down.desire("r1", {"sample_every": "30s"}, actor="ada")
    await bench.down.desire("r2", {"sample_every": "20s"}, actor="ada")
    bench.link.sent.clear()
    births = [Birth(device_id=DeviceId(d), boot=1, t_ms=T0, config_version=v) for d, v in (("r1", 1), ("r2", 0))]
    await bench.down.remind(births)

    assert [topic for topic, _, _ in bench.link.sent] == ["bf/1/r2/desired"]
    assert wire.decode_desired(bench.link.sent[0][1]).settings == {"sample_every": "20s"}


async def test_revoked_and_unknown_devices_get_no_command(bench: Bench) -> None:
    provision.revoke(bench.engine, "r1")
    with pytest.raises(Refused, match="no_command_key"):
        await bench.down.command("r1", "ping", actor="ada")
    with pytest.raises(NotFound, match="device"):
        await bench.down.command("nobody", "ping", actor="ada")

    assert bench.link.sent == []


async def test_who_ordered_what_is_in_the_audit_chain(bench: Bench) -> None:
    await bench.down.command("r1", "ping", actor="ada")
    await bench.down.desire("r2", {}, actor="ben")

    noted = [(deed.actor, deed.action, deed.subject) for deed in audit.recent(bench.engine)]
    assert ("ada", "device.command.ping", "r1") in noted
    assert ("ben", "device.desired", "r2") in noted
    assert audit.verify(bench.engine) is None


async def test_old_orders_are_forgotten_at_a_bound(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downlink, "KEPT", 3)
    orders = [await bench.down.command("r1", "ping", actor="ada") for _ in range(5)]

    assert list(bench.down.orders) == [order.command_id for order in orders[2:]]

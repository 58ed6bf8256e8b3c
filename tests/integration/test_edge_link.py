"""The agent against a real broker: what it keeps, sends, and lets go of."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from edge import wire
from edge.assembly import HostSide, make_agent, serve
from edge.config import BufferSettings, CommandSettings, Device, LinkSettings, Settings, Socket
from edge.network import Network
from edge.record import ALARM
from tests.integration.edge_broker import NATS, Broker, StubGateway, eventually

pytestmark = pytest.mark.skipif(NATS is None, reason="nats-server is not installed")
KEY = bytes(range(32))


@pytest.fixture
def broker(tmp_path):
    (tmp_path / "nats").mkdir()
    broker = Broker(tmp_path / "nats")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def gateway(broker):
    gateway = StubGateway(broker)
    yield gateway
    gateway.stop()


class Fleet:
    """Agents on one thread, driven by the test."""

    def __init__(self, tmp_path, broker):
        self.folder = tmp_path
        self.network = Network()
        self.agents = []
        link = LinkSettings(
            host="127.0.0.1", port=broker.port, tls=False, username="u", password="p",
            retry_first=0.1, retry_longest=0.5, mark_timeout=1.0,
        )  # fmt: skip
        self.base = Settings(device=Device(id="d0"), link=link, command=CommandSettings(key=KEY))

    def agent(self, device_id="d0", *, sensors=lambda _: (), **changes):
        settings = replace(
            self.base,
            device=Device(id=device_id, type="router", firmware="1.2"),
            buffer=BufferSettings(folder=self.folder / device_id, sync="never"),
            **changes,
        )
        agent = make_agent(settings, self.network, sensors=sensors)
        self.agents.append(agent)
        return agent

    def until(self, what, *, within_s=15.0):
        deadline = time.monotonic() + within_s
        serve(self.network, self.agents, until=lambda: what() or time.monotonic() > deadline, longest_s=0.05)
        assert what(), "did not happen in time"

    def close(self):
        for agent in self.agents:
            agent.stop()
        self.network.close()


@pytest.fixture
def fleet(tmp_path, broker):
    fleet = Fleet(tmp_path, broker)
    yield fleet
    fleet.close()


def now_ms():
    return time.time_ns() // 1_000_000


def feed(agent, count, *, start_ms=None):
    """`count` batches of three rows."""
    start_ms = now_ms() - 1000 if start_ms is None else start_ms
    for batch in range(count):
        for row in range(3):
            agent.add(start_ms + batch * 30 + row * 10, {"cpu_busy_ratio": 0.1 * row, "uptime_s": batch})
        agent.flush()


def keys(gateway, device_id="d0"):
    return [(batch.boot, batch.seq) for sender, batch in gateway.batches if sender == device_id]


def test_a_batch_leaves_the_disk_on_the_mark_only(fleet, gateway):
    agent = fleet.agent()
    gateway.marking = False
    feed(agent, 3)
    fleet.until(lambda: len(keys(gateway)) >= 3)
    assert agent.waiting == 3

    gateway.mark("d0", keys(gateway)[1:2])
    fleet.until(lambda: agent.waiting == 2)
    gateway.marking = True  # the others are sent again after the time-out, and marked now
    fleet.until(lambda: agent.waiting == 0)

    assert set(keys(gateway)) == {(agent.run.boot, seq) for seq in range(3)}
    assert agent.outbox.republished >= 2


def test_the_birth_tells_who_the_device_is_and_the_will_that_it_is_gone(fleet, gateway):
    agent = fleet.agent()
    agent.add(now_ms(), {"cpu_busy_ratio": 0.5, "strange_thing_volts": 3.0})
    fleet.until(lambda: gateway.births)
    (_, birth) = gateway.births[0]
    sock = agent.link._client.socket()
    sock.shutdown(socket.SHUT_RDWR)  # without a DISCONNECT

    fleet.until(lambda: gateway.deaths and len(gateway.births) > 1)

    assert (birth.type, birth.firmware, birth.boot) == ("router", "1.2", agent.run.boot)
    assert birth.metrics == {"cpu_busy_ratio": "ratio", "strange_thing_volts": "volts"}
    assert not gateway.deaths[0][1].clean


def test_after_an_outage_alarms_go_first_then_the_newest_then_the_backlog_as_historical(fleet, broker, gateway):
    agent = fleet.agent()
    fleet.until(lambda: agent.link.up)
    broker.kill()
    fleet.until(lambda: not agent.link.up)
    hour_ms = 3_600_000
    feed(agent, 100, start_ms=now_ms() - 5 * hour_ms)
    agent.say(4, "fire", "smoke in the cellar", kind=ALARM)
    feed(agent, 3)
    broker.start()

    fleet.until(lambda: agent.waiting == 0, within_s=30)

    sent = [batch for _, batch in gateway.batches]
    assert sent[0].alarm
    assert [batch.historical for batch in sent[1:5]] == [False, False, False, True]
    newest = [batch.seq for batch in sent[1:4]]
    assert newest == sorted(newest, reverse=True)
    old = [batch for batch in sent if batch.historical]
    assert {batch.seq for batch in old} == set(range(100))
    assert all(abs(batch.sent_at_ms - now_ms()) < 60_000 for batch in old)


def test_nothing_is_lost_when_the_broker_is_killed_and_its_disk_wiped(fleet, broker, gateway, tmp_path):
    agents = [fleet.agent(f"d{i}") for i in range(3)]
    gateway.marking = False
    for agent in agents:
        feed(agent, 20)
    fleet.until(lambda: len(gateway.batches) >= 30)
    broker.kill()
    for path in sorted((tmp_path / "nats" / "store").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    gateway.batches.clear()
    gateway.marking = True
    broker.start()

    fleet.until(lambda: all(agent.waiting == 0 for agent in agents), within_s=30)

    for agent in agents:
        assert {(agent.run.boot, seq) for seq in range(20)} <= set(keys(gateway, agent.device_id))


def test_a_desired_configuration_is_applied_reported_and_kept(fleet, gateway):
    agent = fleet.agent()
    settings = {"sample_every": "30s", "log_level": "error", "flush_every": "soon", "rocket": 1}
    gateway.send("d0", "desired", wire.encode_desired(wire.Desired(version=7, settings=settings)), retain=True)

    fleet.until(lambda: gateway.reported and gateway.reported[-1][1].version == 7)

    reported = gateway.reported[-1][1]
    assert reported.settings["sample_every"] == "30s"
    assert reported.settings["flush_every"] == "60s"
    assert set(reported.refused) == {"flush_every", "rocket"}
    assert agent.collect.sample_every == 30
    assert agent.state.load("desired")["version"] == 7


def command(gateway, name, *, nonce, device_id="d0", key=KEY):
    order = wire.Command(command_id=f"c-{name}", name=name, expires_ms=now_ms() + 60_000, nonce=nonce)
    gateway.send("d0", "command", wire.encode_command(order, device_id=device_id, key=key))


def test_signed_commands_are_carried_out_once_and_others_refused(fleet, gateway, tmp_path):
    ran = tmp_path / "ran"
    hooks = {"selftest": ("/bin/sh", "-c", f"echo x >> {ran}; echo fine from 10.1.2.3")}
    agent = fleet.agent(command=CommandSettings(key=KEY, hooks=hooks))
    feed(agent, 1)
    agent.say(2, "app", "call +49 30 1234567")
    fleet.until(lambda: gateway.reported)

    command(gateway, "selftest", nonce="n" * 20)
    command(gateway, "selftest", nonce="n" * 20)  # as a broker repeats it
    command(gateway, "selftest", nonce="o" * 20, key=b"?" * 32)
    command(gateway, "selftest", nonce="p" * 20, device_id="d1")
    command(gateway, "format_disk", nonce="q" * 20)
    command(gateway, "diagnostics", nonce="r" * 20)
    fleet.until(lambda: {"done", "repeated", "unknown_command"} <= {reply.code for reply in gateway.replies})
    fleet.until(lambda: sum(reply.code == "done" for reply in gateway.replies) == 2)

    codes = sorted((reply.command_id, reply.code) for reply in gateway.replies)
    assert codes == [
        ("c-diagnostics", "done"), ("c-format_disk", "unknown_command"),
        ("c-selftest", "done"), ("c-selftest", "repeated"), ("c-selftest", "started"),
    ]  # fmt: skip
    assert ran.read_text() == "x\n"
    assert agent.counts["command_bad_signature"] == 2
    texts = {reply.command_id: reply.text for reply in gateway.replies if reply.code == "done"}
    assert texts["c-selftest"] == "fine from <ip>\n"
    bundle = json.loads(texts["c-diagnostics"])
    assert bundle["logs"][-1][3] == "call <phone>"
    assert bundle["device"]["id"] == "d0"


def test_firmware_speaks_through_the_local_socket(fleet, gateway, tmp_path):
    path = tmp_path / "agent.sock"
    agent = fleet.agent(socket=Socket(path=path))
    host = HostSide(agent, agent.settings, fleet.network)
    fleet.until(lambda: agent.link.up)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as firmware:
        firmware.sendto(b"metric motor_current_amperes=1.25 bolt_travel_s=0.8\nnonsense", str(path))
        firmware.sendto(b"crash main SIGSEGV\n#0 0x1234\n#1 0x5678", str(path))

    fleet.until(lambda: any(batch.alarm for _, batch in gateway.batches))
    agent.flush()
    fleet.until(lambda: agent.waiting == 0)

    crash = next(batch for _, batch in gateway.batches if batch.alarm)
    assert crash.logs[0].text == "SIGSEGV\n#0 0x1234\n#1 0x5678"
    rest = next(batch for _, batch in gateway.batches if batch.columns)
    assert rest.columns == {"motor_current_amperes": (1.25,), "bolt_travel_s": (0.8,)}
    assert agent.counts["bad_line"] == 1
    host.close()


def test_two_hundred_agents_share_one_thread(fleet, gateway):
    agents = [fleet.agent(f"lock-{i:03d}") for i in range(200)]
    for agent in agents:
        feed(agent, 2)
    cpu_s = time.process_time()

    fleet.until(lambda: all(agent.waiting == 0 for agent in agents), within_s=40)

    assert len({sender for sender, _ in gateway.births}) == 200
    assert {(sender, batch.seq) for sender, batch in gateway.batches} == {
        (agent.device_id, seq) for agent in agents for seq in range(2)
    }
    assert time.process_time() - cpu_s < 15


def config(tmp_path, broker, **more):
    path = tmp_path / "agent.toml"
    path.write_text(f"""
[device]
id = "real"
[link]
host = "127.0.0.1"
port = {broker.port}
tls = false
username = "u"
password = "p"
retry_first = "100ms"
retry_longest = "1s"
mark_timeout = "1s"
[buffer]
folder = "{tmp_path / "buffer"}"
[collect]
sample_every = "200ms"
flush_every = "1s"
[[log]]
path = "{tmp_path / "app.log"}"
""")
    return path


def test_the_program_sends_one_batch_and_ends(tmp_path, broker, gateway):
    done = subprocess.run(
        [sys.executable, "-m", "edge", "--config", config(tmp_path, broker), "--once"],
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert {"cpu_busy_ratio", "memory_available_bytes", "uptime_s"} <= set(gateway.batches[0][1].columns)


def test_a_killed_agent_goes_on_with_the_next_boot_and_has_lost_no_closed_batch(tmp_path, broker, gateway):
    gateway.marking = False
    path = config(tmp_path, broker)
    (tmp_path / "app.log").write_text("")
    first = subprocess.Popen([sys.executable, "-m", "edge", "--config", path], stderr=subprocess.DEVNULL)
    with (tmp_path / "app.log").open("a") as file:
        eventually(lambda: gateway.births)
        file.write("ERROR pump stuck\n")
    eventually(lambda: len(keys(gateway, "real")) >= 2)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    seen = set(keys(gateway, "real"))
    gateway.batches.clear()
    gateway.marking = True

    second = subprocess.Popen([sys.executable, "-m", "edge", "--config", path], stderr=subprocess.DEVNULL)
    boot = max(boot for boot, _ in seen)
    eventually(lambda: seen <= set(keys(gateway, "real")) and (boot + 1, 0) in keys(gateway, "real"))
    second.terminate()

    assert second.wait(10) == 0
    eventually(lambda: any(death.clean for _, death in gateway.deaths))
    assert gateway.births[-1][1].reboot_reason == "agent_died"
    lines = {line for _, batch in gateway.batches for line in batch.logs if line.source == "app"}
    assert [line.text for line in lines] == ["ERROR pump stuck"]

"""TLS on the embedded broker: agents that trust it, those that do not, renewal, and what is told of all that."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from edge.wire import Desired, decode_reported, encode_desired
from gateway import ledger
from gateway.app import make
from gateway.broker import Broker, BrokerConfig, Tls
from gateway.config import BrokerSettings, Settings
from gateway.errors import ConfigError
from gateway.ledger import registry
from gateway.ledger.registry import NewDevice
from gateway.model import DeviceId
from gateway.ports import TelemetrySource
from gateway.services import doctor, provision
from gateway.services.receive import Receiver
from gateway.stores.duckdb import DuckDbStore
from tests import brokers
from tests.agents import quick, receiving, running
from tests.brokers import until
from tests.certificates import Authority

NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 86_400_000


@dataclass
class Site:
    """An embedded broker with TLS, a receiver behind it, and the files of one device."""

    broker: Broker
    source: TelemetrySource
    receiver: Receiver
    store: DuckDbStore
    agent_toml: str
    authority: Authority
    settings: Settings


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def site(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr("gateway.broker.server.HEALTH_EVERY_S", 0.1)
    async with opened(tmp_path, authority) as site:
        yield site


@asynccontextmanager
async def opened(folder: Path, authority: Authority) -> AsyncIterator[Site]:
    (folder / "ca.pem").write_text(authority.pem)
    authority.issue(folder / "cert.pem", folder / "key.pem")
    held = {"port": 0, "tls_cert": "cert.pem", "tls_key": "key.pem", "tls_ca": "ca.pem"}
    held |= {key: str(folder / held[key]) for key in ("tls_cert", "tls_key", "tls_ca")}
    settings = Settings.model_validate({"data_dir": str(folder), "broker": held})
    engine = ledger.connect(settings.ledger_url)
    ledger.migrate(engine)
    (made,) = provision.add(engine, [NewDevice(device_id=DeviceId("d0"), type="router")], now_ms=NOW_MS)
    broker = make.broker(settings, engine, None)
    assert broker
    async with brokers.running(broker):
        endpoint = provision.endpoint_of(settings.broker.model_copy(update={"port": broker.mqtt_port}))
        source, store = make.source(settings, broker, None), DuckDbStore(folder / "series.duckdb", memory="100MB")
        async with receiving(source, store, registry.load_roster(engine)) as receiver:
            text = provision.agent_toml(made, endpoint)
            yield Site(broker, source, receiver, store, text, authority, settings)
    engine.dispose()


def handshake(port: int, authority: Authority) -> tuple[int, str]:
    """Serial number of the certificate shown to a new link, and the version of TLS."""
    context = ssl.create_default_context(cadata=authority.pem)
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
        shown = x509.load_der_x509_certificate(sock.getpeercert(binary_form=True) or b"")
        return shown.serial_number, sock.version() or ""


async def test_an_agent_is_stored_marked_and_told_its_settings_over_tls(site: Site, tmp_path: Path):
    settings = quick(site.agent_toml, tmp_path / "agent")
    with running(settings) as device:
        device.feed(range(5))
        await until(lambda: site.receiver.counts["batches"] == 5)
        await until(lambda: device.agent.waiting == 0, what="marks reach the agent")
        heard: list[bytes] = []
        site.receiver._on_message = _keep(heard)
        await site.source.publish("bf/1/d0/desired", encode_desired(Desired(version=3, settings={})), retain=True)
        await until(lambda: any(decode_reported(payload).version == 3 for payload in heard))

    assert settings.link.tls
    assert settings.link.ca_pem.strip() == site.authority.pem.strip()
    assert handshake(site.broker.mqtt_port, site.authority)[1] in ("TLSv1.2", "TLSv1.3")


def _keep(heard: list[bytes]):
    async def keep(_kind: str, _device: object, payload: bytes) -> None:
        heard.append(payload)

    return keep


async def test_plain_text_and_old_tls_are_refused(site: Site):
    plain = brokers.Device(site.broker.mqtt_port, "d0")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(cadata=site.authority.pem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")

    def shake() -> None:
        with socket.create_connection(("127.0.0.1", site.broker.mqtt_port), timeout=5) as sock:
            old.wrap_socket(sock, server_hostname="127.0.0.1").close()

    await plain.ended()
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.to_thread(shake)

    assert not plain.answered
    assert not site.receiver.counts["deliveries"]
    plain.close()


@pytest.mark.filterwarnings("ignore:Exception ignored.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")  # paho
async def test_an_agent_that_trusts_another_authority_says_so_in_one_sentence(site: Site, tmp_path: Path, caplog):
    other = site.agent_toml.replace(site.authority.pem.strip(), Authority("another").pem.strip())
    (tmp_path / "agent.toml").write_text(other + f'\n[buffer]\nfolder = "{tmp_path / "agent"}"\n')
    command = [sys.executable, "-m", "edge", "--check", "--config", tmp_path / "agent.toml"]

    checked = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    with caplog.at_level(logging.WARNING, "edge.link"), running(quick(other, tmp_path / "agent")) as device:
        device.feed([1.0])
        await until(lambda: any(record.message == "link.down" for record in caplog.records))

    told = "the broker's certificate is signed by none that is trusted here: set link.ca_file or link.ca_pem"
    assert checked.returncode == 1
    assert f"127.0.0.1:{site.broker.mqtt_port} not reached: {told}" in checked.stdout
    assert [record.fields["reason"] for record in caplog.records if record.message == "link.down"] == [told]
    assert device.agent.waiting == 1


async def test_a_renewed_certificate_is_shown_from_then_on_and_nothing_is_lost_meanwhile(site: Site, tmp_path: Path):
    cert, key = Path(site.settings.broker.tls_cert), Path(site.settings.broker.tls_key)
    port, pid = site.broker.mqtt_port, site.broker.pid
    first, _ = await asyncio.to_thread(handshake, port, site.authority)
    with running(quick(site.agent_toml, tmp_path / "agent")) as device:
        device.feed(range(20))
        await until(lambda: site.receiver.counts["batches"] > 0)

        cert.write_text("half written")
        device.feed(range(20, 40))
        await asyncio.sleep(0.3)  # three looks at the files
        before, _ = await asyncio.to_thread(handshake, port, site.authority)
        half_written = site.broker.counts.get("renewal", 0)
        serial = site.authority.issue(cert, key, days=20)
        device.feed(range(40, 60))
        await until(lambda: site.broker.counts.get("renewal", 0) >= 1)

        async def shown() -> bool:
            return (await asyncio.to_thread(handshake, port, site.authority))[0] == serial

        await until(shown)
        device.feed(range(60, 80))
        await until(lambda: site.receiver.counts["batches"] == 80 and device.agent.waiting == 0)
        connects = device.agent.connects

    _, value = site.store.range(0, 0, 1 << 50)
    assert sorted(value.tolist()) == [float(n) for n in range(80)]
    assert half_written == 0
    assert before == first
    assert connects <= 2  # the server judges its devices anew at a reload
    assert site.broker.pid == pid
    assert site.broker.certificate_ends_ms // DAY_MS == (NOW_MS + 20 * DAY_MS) // DAY_MS


def found(broker: BrokerSettings, now_ms: int = NOW_MS) -> tuple[str, str]:
    settings = Settings(broker=broker)
    (finding,) = [one for one in doctor.examine(settings, now_ms) if one.subject == "certificate"]
    return finding.verdict, finding.sentence


def test_doctor_tells_of_a_certificate_that_ends_soon_or_cannot_be_used(
    tmp_path: Path, authority: Authority, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.issue(cert, key, days=40.5)
    pair = BrokerSettings(tls_cert=str(cert), tls_key=str(key))

    assert found(pair) == ("ok", f"{cert} lasts 40 days")
    assert found(pair, NOW_MS + 11 * DAY_MS) == ("warning", f"{cert} ends in 29 days: renew it; no restart is needed")
    assert found(pair, NOW_MS + 50 * DAY_MS) == ("failed", f"{cert} has ended, devices refuse it: renew it")
    authority.issue(tmp_path / "other.pem", key)
    assert found(pair)[1].startswith(f"{key} is not the key of {cert}")
    cert.write_text("no certificate")
    assert found(pair) == ("failed", f"{cert} is no PEM certificate: correct broker.tls_cert")
    key.unlink()
    cert.unlink()
    assert found(pair) == ("failed", f"{cert}: No such file or directory; let the gateway read it")
    assert found(BrokerSettings(tls_cert=str(cert)))[1].startswith("TLS needs both")
    assert found(BrokerSettings()) == ("ok", "none of ours: devices of other machines do not connect to us")
    assert found(BrokerSettings(host="0.0.0.0"))[0] == "warning"


async def test_a_gateway_does_not_start_with_a_certificate_it_cannot_use(tmp_path: Path):
    tls = Tls(cert=tmp_path / "none.pem", key=tmp_path / "none.key")
    broker = Broker(
        BrokerConfig(directory=tmp_path, mqtt_port=-1, tls=tls), seed=brokers.SEED, credential=lambda _: None
    )
    with pytest.raises(ConfigError, match="tls_unreadable"):
        await broker.start()


def test_devices_are_told_to_trust_what_signs_unless_their_system_knows_it(tmp_path: Path, authority: Authority):
    cert, key, own = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "own.pem"
    authority.issue(cert, key)
    own.write_text(authority.pem)
    signed = BrokerSettings(tls_cert=str(cert), tls_key=str(key))

    assert provision.endpoint_of(signed, "a.example").ca_pem == ""
    assert provision.endpoint_of(signed.model_copy(update={"tls_ca": str(own)})).ca_pem == authority.pem
    assert provision.endpoint_of(BrokerSettings(tls_cert=str(own), tls_key=str(key))).ca_pem == authority.pem
    outside = provision.endpoint_of(BrokerSettings(url="mqtts://user@b.example", ca_file=str(own)))
    assert (outside.host, outside.port, outside.tls, outside.ca_pem) == ("b.example", 8883, True, authority.pem)
    with pytest.raises(ConfigError, match="tls_unreadable"):
        provision.endpoint_of(BrokerSettings(tls_cert=str(tmp_path / "none.pem"), tls_key=str(key)))

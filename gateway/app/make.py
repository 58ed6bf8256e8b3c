"""Settings to parts: which store, broker, source, channel. To add one of a kind, write its module and name it here."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as Fields
from pathlib import Path
from typing import TypeVar

import uvicorn
import yaml
from sqlalchemy import Engine

import rules
from gateway.broker import GATEWAY, Broker, BrokerConfig, Tls
from gateway.channels.console import ConsoleChannel
from gateway.channels.twilio import TwilioSms, signature_fits
from gateway.config import DeskSettings, IngestSettings, OutreachSettings, Settings, StoreSettings, duration_s
from gateway.desks.webhook import WebhookDesk
from gateway.errors import ConfigError
from gateway.ingest import Limits, Mapping
from gateway.ledger import registry
from gateway.model import Roster
from gateway.outreach import Texts, load_texts
from gateway.ports import Channel, SeriesStore, TelemetrySource, TicketDesk
from gateway.services.inbound import Inbound
from gateway.services.receive import Pace
from gateway.sources.jetstream import JetStreamSource
from gateway.sources.mqtt import TOPICS, MqttSource
from gateway.stores.duckdb import DuckDbStore
from gateway.stores.influx import InfluxStore
from gateway.stores.retention import Keep

Tell = Callable[[str, str], None]
T = TypeVar("T")
LEAST_FREE_BYTES = 100_000_000  # of disk: what broker, ledger and series store take before the first sample, twice over


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: stopping is the gateway's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


@contextlib.contextmanager
def data_folder(path: Path) -> Iterator[None]:
    """The folder of everything that is kept, made if need be, and this process's alone while the block runs.

    Raises:
        ConfigError: `folder_unwritable`, `disk_full` or `already_running`.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds keys and telephone numbers
        probe = path / ".probe"
        probe.write_bytes(b"-")
        probe.unlink()
        free, lock = shutil.disk_usage(path).free, (path / ".lock").open("w")
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            detail = f"{path}: {exc.strerror}; name a folder that can be written to"
            raise ConfigError("folder_unwritable", detail) from exc
        free, lock = 0, None
    if lock is None or free < LEAST_FREE_BYTES:
        detail = f"{path}: {free / 1e6:.0f} MB free, {LEAST_FREE_BYTES / 1e6:.0f} are needed; free some, or move it"
        raise ConfigError("disk_full", detail)
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it, however this process ends
        except OSError as exc:
            detail = f"another gateway runs on {path}: stop it, or name another folder"
            raise ConfigError("already_running", detail) from exc
        yield


def listener(host: str, port: int) -> socket.socket:
    """The console's listening socket. Raises ConfigError `port_in_use`."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as exc:
        bound.close()
        raise ConfigError("port_in_use", f"{host}:{port} is taken: stop what listens there, or set web.port") from exc
    bound.listen(128)
    return bound


def _duckdb(folder: Path, roster: Roster, held: StoreSettings) -> SeriesStore:
    keep = Keep(
        raw_ms=int(1000 * duration_s(held.keep_raw)),
        rollup_ms=int(1000 * duration_s(held.keep_rollup)),
        logs_ms=int(1000 * duration_s(held.keep_logs)),
    )
    opened = DuckDbStore(folder / "series.duckdb", memory=held.memory, keep=keep)
    if opened.last([roster.series_count])[0][0] >= 0:  # numbers are given by the ledger, first
        opened.close()
        raise ConfigError("ledger_older", f"{folder}: the ledger lacks series of the store; restore both of one backup")
    return opened


def _influx(_folder: Path, roster: Roster, held: StoreSettings) -> SeriesStore:
    return InfluxStore(
        roster,
        url=held.influx_url,
        token=held.influx_token.get_secret_value(),
        org=held.influx_org,
        bucket=held.influx_bucket,
        keep_raw_s=duration_s(held.keep_raw),
        keep_rollup_s=duration_s(held.keep_rollup),
    )


def store(folder: Path, roster: Roster, held: StoreSettings) -> SeriesStore:
    """The series store of the settings. Raises ConfigError `settings_invalid`, and what opening it raises."""
    return _named(STORES, held.kind, "store.kind")(folder, roster, held)


STORES: Fields[str, Callable[[Path, Roster, StoreSettings], SeriesStore]] = {"duckdb": _duckdb, "influx": _influx}


def _console(_settings: Settings, inbound: Inbound, tell: Tell) -> Channel:
    def delivered(message_id: str, provider_id: str) -> None:
        inbound.status(message_id=message_id, status="delivered", provider_id=provider_id)
        tell("message", message_id)

    return ConsoleChannel(delivered)


def _twilio(settings: Settings, _inbound: Inbound, _tell: Tell) -> Channel:
    held, base = settings.outreach, settings.web.public_url.rstrip("/")
    return TwilioSms(
        held.twilio_account_sid,
        held.twilio_auth_token.get_secret_value(),
        service_sid=held.twilio_messaging_service_sid,
        sender=held.twilio_from,
        callback_url=f"{base}/webhooks/twilio/status" if base else "",
    )


def channel(settings: Settings, inbound: Inbound, tell: Tell) -> Channel:
    """The SMS channel of the settings. Raises ConfigError `settings_invalid`."""
    return _named(CHANNELS, settings.outreach.channel, "outreach.channel")(settings, inbound, tell)


CHANNELS: Fields[str, Callable[[Settings, Inbound, Tell], Channel]] = {"console": _console, "twilio": _twilio}


DESKS: Fields[str, Callable[[DeskSettings], TicketDesk | None]] = {
    "builtin": lambda _held: None,  # the casebook itself
    "webhook": lambda held: WebhookDesk(held.url, token=held.token.get_secret_value()),
}


def desk(held: DeskSettings) -> TicketDesk | None:
    """The help desk that is told of tickets besides the casebook. Raises ConfigError `settings_invalid`, `desk_url`."""
    return _named(DESKS, held.kind, "desk.kind")(held)


def _named(kinds: Fields[str, T], name: str, key: str) -> T:
    if name not in kinds:
        raise ConfigError("settings_invalid", f"{key} is {name!r}: say one of {', '.join(sorted(kinds))}")
    return kinds[name]


def texts(held: OutreachSettings) -> Texts:
    """The texts of messages. Raises ConfigError `settings_invalid`, `bad_template`."""
    if held.texts and not Path(held.texts).is_dir():
        raise ConfigError("settings_invalid", f"outreach.texts: there is no folder {held.texts}")
    return load_texts(*([Path(held.texts)] if held.texts else []))


def signature_check(held: OutreachSettings) -> Callable[[str, Fields[str, str], str], bool]:
    """Whether a webhook is Twilio's: signed with the account's token, for the public address."""
    tokens = (held.twilio_auth_token.get_secret_value(),)

    def fits(url: str, form: Fields[str, str], signature: str) -> bool:
        return signature_fits(tokens, url=url, form=form, signature=signature)

    return fits


def mapping(held: IngestSettings) -> Mapping | None:
    """The mapping of plain MQTT topics. Raises ConfigError `mapping_unreadable`, `mapping_invalid`."""
    if not held.plain:
        return None
    try:
        return Mapping(yaml.safe_load(Path(held.plain).read_text()))
    except (OSError, yaml.YAMLError) as exc:
        raise ConfigError("mapping_unreadable", f"{held.plain}: {exc}") from exc


def broker(settings: Settings, engine: Engine, plain: Mapping | None) -> Broker | None:
    """The embedded broker, not started; None where the settings name another. Raises ConfigError (`tls_half`)."""
    held, folder = settings.broker, Path(settings.data_dir)
    if held.url:
        return None
    config = BrokerConfig(
        directory=folder / "broker",
        mqtt_host=held.host,
        mqtt_port=held.port or -1,
        max_disk_bytes=held.max_store_bytes,
        tls=Tls.of(held.tls_cert, held.tls_key),
    )
    return Broker(
        config,
        seed=_account_seed(folder),
        credential=lambda device_id: registry.credential_of(engine, device_id),
        patterns=plain.patterns if plain else (),
    )


def source(settings: Settings, embedded: Broker | None, plain: Mapping | None) -> TelemetrySource:
    """Where deliveries come from: the embedded broker (started) by its own protocol, any other by MQTT."""
    held = settings.broker
    topics = TOPICS + (plain.topics if plain else ())
    if embedded is not None:
        return JetStreamSource(
            embedded.nats_url,
            user=GATEWAY,
            password=embedded.config.gateway_password,
            mqtt_host=embedded.config.mqtt_host,
            mqtt_port=embedded.mqtt_port,
            mqtt_tls=embedded.config.tls is not None,
            topics=topics,
            inflight=settings.ingest.inflight,
        )
    return MqttSource(
        held.url,
        user=held.username,
        password=held.password.get_secret_value(),
        ca_file=held.ca_file,
        topics=topics,
        inflight=settings.ingest.inflight,
    )


def _account_seed(folder: Path) -> bytes:
    """The key that signs devices' permissions, made at the first start and readable by the owner alone."""
    path = folder / "account.seed"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def limits(held: IngestSettings) -> Limits:
    """Bounds of admission."""
    return Limits(
        max_future_ms=int(1000 * duration_s(held.max_future)),
        max_age_ms=int(1000 * duration_s(held.max_age)),
        values_per_minute=held.values_per_minute,
    )


def pace(held: IngestSettings) -> Pace:
    """How windows close."""
    return Pace(
        window_deliveries=held.window_deliveries,
        linger_s=duration_s(held.linger),
        marks_every_s=duration_s(held.marks_every),
    )


def rule_paths(settings: Settings) -> Sequence[Path]:
    """Where rules are read from: the library, then the operator's own."""
    return [*([rules.LIBRARY] if settings.rules.library else []), *map(Path, settings.rules.paths)]

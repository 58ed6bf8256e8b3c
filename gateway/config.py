"""Every setting of the gateway: one TOML file, then the environment, read once into frozen models.

`BEFOREHAND_<SECTION>__<KEY>` overrides a key of the file. Secrets come from the environment or from a file named by
`BEFOREHAND_<SECTION>__<KEY>_FILE`, never from the TOML, and never show in `repr`. Unknown keys are errors.
The table in `docs/settings.md` is made from this module.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from gateway.errors import ConfigError

_PREFIX = "BEFOREHAND_"
LEAST_HORIZON_S = 3600  # values are looked at by the hour
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration_s(text: str) -> float:
    """Seconds in a duration like `30s`, `10m`, `6h` or `1d12h`.

    Raises:
        ValueError: the text is no duration.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(f"{text!r} is no duration: write 30s, 10m, 6h or 1d12h")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BrokerSettings(_Section):
    """Which MQTT broker carries the telemetry."""

    url: str = Field("", description="Existing broker, as `mqtts://host:8883`; empty: the embedded NATS server.")
    username: str = Field("", description="User of the gateway on an existing broker.")
    password: SecretStr = Field(SecretStr(""), description="Its password; environment or file only.")
    ca_file: str = Field("", description="CA certificate of an existing broker; empty: the system's.")
    host: str = Field("127.0.0.1", description="Address on which the embedded broker listens for devices.")
    port: int = Field(1883, ge=0, le=65535, description="MQTT port of the embedded broker; 0 picks a free one.")
    tls_cert: str = Field(
        "",
        description="Certificate of the embedded broker; with it, devices connect by TLS. Read again when renewed.",
    )
    tls_key: str = Field("", description="Key of that certificate, without a password.")
    tls_ca: str = Field(
        "",
        description="What devices are to trust; empty: the certificate if it signs itself, else their system's.",
    )
    max_store_bytes: int = Field(
        10_000_000_000, ge=1_000_000, description="Bytes of disk the embedded broker may queue."
    )


class IngestSettings(_Section):
    """How deliveries become committed windows."""

    window_deliveries: int = Field(2_000, ge=1, le=30_000, description="Deliveries that close a window.")
    linger: str = Field("0.5s", description="Longest wait before a window closes, as a duration.")
    inflight: int = Field(8_000, ge=10, le=60_000, description="Deliveries unacknowledged at once.")
    max_future: str = Field("10m", description="Furthest a sample may lie in the future, after clock correction.")
    max_age: str = Field("400d", description="A sample older than this is refused.")
    values_per_minute: int = Field(
        600_000, ge=1, description="Values a device may send in a minute, averaged over ten; more is refused."
    )
    marks_every: str = Field("2s", description="Shortest time between two `stored` marks of one device.")
    plain: str = Field("", description="YAML file that maps topics of plain MQTT devices; empty: none.")


class StoreSettings(_Section):
    """Where samples and log lines rest."""

    kind: str = Field("duckdb", description="`duckdb` (embedded) or `influx` (InfluxDB 2).")
    memory: str = Field("1GB", description="Memory that DuckDB may use.")
    keep_raw: str = Field("90d", description="Raw samples are kept this long.")
    keep_rollup: str = Field("730d", description="Hourly roll-ups are kept this long.")
    keep_logs: str = Field("30d", description="Log lines are kept this long.")
    influx_url: str = Field("", description="InfluxDB 2 address, as `http://influx:8086`.")
    influx_org: str = Field("beforehand", description="InfluxDB organisation.")
    influx_bucket: str = Field("telemetry", description="InfluxDB bucket; `<bucket>_hourly` stands beside.")
    influx_token: SecretStr = Field(SecretStr(""), description="InfluxDB token; environment or file only.")


class LedgerSettings(_Section):
    """Where registry, customers and casework rest."""

    url: str = Field("", description="SQLAlchemy URL, as `postgresql+psycopg://...`; empty: SQLite in the data folder.")
    password: SecretStr = Field(SecretStr(""), description="Password put into that URL; environment or file only.")
    key_file: str = Field(
        "", description="File of the keys that seal personal data; empty: `ledger.key` in the data folder."
    )


class DetectSettings(_Section):
    """Detection and prognosis."""

    snapshot_every: str = Field("5m", description="How often the state of detectors is written to disk.")
    train_every: str = Field("3h", description="How often cohort models are trained again.")
    risk_horizon: str = Field(
        "30d", description="How far ahead the risk of failure looks; after a change it is learned anew."
    )
    false_alarms_per_week: float = Field(
        125.0, ge=0.0, description="False alarms a week that 1,000 devices may raise as a whole; 0: as they come."
    )
    log_session: str = Field(
        "", description="Regular expression whose first group is what the lines of one session share, as `req=(\\w+)`."
    )
    habit_every: str = Field("7d", description="Age at which the habit of a device is learned again.")
    habit_past: str = Field("28d", description="How much of its past a device's habit is learned from.")
    habit_budget: str = Field("20s", description="Longest time in every ten minutes in which habits are learned.")

    @field_validator("risk_horizon")
    @classmethod
    def _looks_ahead(cls, value: str) -> str:
        if duration_s(value) < LEAST_HORIZON_S:
            raise ValueError("the horizon of risk is an hour at least")
        return value

    @field_validator("log_session")
    @classmethod
    def _has_a_key(cls, value: str) -> str:
        try:
            fits = not value or re.compile(value).groups > 0
        except re.error as exc:
            raise ValueError(f"{value!r} is no regular expression: {exc}") from None
        if not fits:
            raise ValueError(f"{value!r} has no group, as in `req=(\\w+)`")
        return value


class RulesSettings(_Section):
    """Rules beyond the library."""

    paths: tuple[str, ...] = Field((), description="Folders or files of your own rules, beside the library.")
    library: bool = Field(True, description="Whether the library that comes with Beforehand is loaded.")


class OutreachSettings(_Section):
    """Writing to customers."""

    channel: str = Field("console", description="`twilio`, or `console` (the phones page).")
    texts: str = Field("", description="Folder of your own message texts, `<language>.yaml`; they replace equal names.")
    sender_name: str = Field("Beforehand", description="Who the message says it comes from.")
    twilio_account_sid: str = Field("", description="Twilio account SID.")
    twilio_auth_token: SecretStr = Field(SecretStr(""), description="Twilio auth token; environment or file only.")
    twilio_messaging_service_sid: str = Field("", description="Twilio Messaging Service SID (preferred).")
    twilio_from: str = Field("", description="Sending number in E.164, where there is no Messaging Service.")


class DeskSettings(_Section):
    """Another help desk that is told of tickets."""

    kind: str = Field("builtin", description="`builtin` (the casebook alone) or `webhook`.")
    url: str = Field("", description="Address that takes each deed as one POST of JSON.")
    token: SecretStr = Field(SecretStr(""), description="Bearer token of that address; environment or file only.")


class WebSettings(_Section):
    """Console and API."""

    host: str = Field("127.0.0.1", description="Address on which the console listens.")
    port: int = Field(8460, ge=0, le=65535, description="Its port; 0 picks a free one.")
    public_url: str = Field("", description="Address that the world sees; needed for Twilio's callbacks.")
    secure_cookies: bool = Field(False, description="Set when the console is served over HTTPS.")


class Settings(_Section):
    """All of it."""

    data_dir: str = Field("data", description="Folder of everything the gateway keeps.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity logged.")
    broker: BrokerSettings = BrokerSettings()
    ingest: IngestSettings = IngestSettings()
    store: StoreSettings = StoreSettings()
    ledger: LedgerSettings = LedgerSettings()
    detect: DetectSettings = DetectSettings()
    rules: RulesSettings = RulesSettings()
    outreach: OutreachSettings = OutreachSettings()
    desk: DeskSettings = DeskSettings()
    web: WebSettings = WebSettings()

    @property
    def ledger_key_file(self) -> Path:
        """Where the keys of personal data lie."""
        return Path(self.ledger.key_file or Path(self.data_dir) / "ledger.key")

    @property
    def ledger_url(self) -> str:
        """The ledger's URL, with its password; SQLite in the data folder by default."""
        if not self.ledger.url:
            return f"sqlite:///{Path(self.data_dir) / 'ledger.sqlite'}"
        secret = quote(self.ledger.password.get_secret_value(), safe="")
        return self.ledger.url.replace("@", f":{secret}@", 1) if secret else self.ledger.url


def fields() -> Iterator[tuple[str, object, str, bool]]:
    """(dotted key, default, sentence, secret) of every setting, in order."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, _Section):
            for key, sub in type(field.default).model_fields.items():
                yield f"{name}.{key}", sub.default, sub.description or "", sub.annotation is SecretStr
        else:
            yield name, field.default, field.description or "", False


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        ConfigError: `settings_unreadable`, `settings_invalid` or `secret_in_file`, naming the key and what to do.
    """
    tree = {} if path is None else _read_toml(path)
    for key, _, _, secret in fields():
        if secret and _held(tree, key) is not None:
            name = env_name(key)
            raise ConfigError("secret_in_file", f"{key}: move it to {name} or a file named by {name}_FILE")
        _override(tree, key, environ, secret=secret)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError("settings_invalid", f"{where}: {first['msg']}") from None
    _check_durations(settings)
    return settings


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as exc:
        raise ConfigError("settings_unreadable", f"{path}: {exc.strerror}; name a file that is there") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError("settings_invalid", f"{path}: {exc}") from exc


def _held(tree: Mapping[str, object], key: str) -> object:
    section, _, leaf = key.rpartition(".")
    held = tree.get(section) if section else tree
    return held.get(leaf) if isinstance(held, dict) else None


def _check_durations(settings: Settings) -> None:
    for key, default, _, _ in fields():
        if isinstance(default, str) and re.fullmatch(r"[\d.]+[smhd]", default):
            section, _, leaf = key.rpartition(".")
            try:
                duration_s(str(getattr(getattr(settings, section), leaf)))
            except ValueError as exc:
                raise ConfigError("settings_invalid", f"{key}: {exc}") from None


def env_name(key: str) -> str:
    """The environment variable of a dotted key."""
    return _PREFIX + key.upper().replace(".", "__")


def _override(tree: dict[str, object], key: str, environ: Mapping[str, str], *, secret: bool) -> None:
    name = env_name(key)
    value = environ.get(name)
    if secret and (file := environ.get(f"{name}_FILE")):
        try:
            value = Path(file).read_text().strip()
        except OSError as exc:
            raise ConfigError("settings_unreadable", f"{name}_FILE: {exc.strerror}") from exc
    if value is None:
        return
    section, _, leaf = key.rpartition(".")
    held = tree.setdefault(section, {}) if section else tree
    if isinstance(held, dict):
        held[leaf] = tuple(value.split(",")) if key == "rules.paths" else value

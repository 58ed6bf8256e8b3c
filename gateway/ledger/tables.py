"""The ledger's tables: everything the gateway must remember about devices, people, cases and messages.

Samples and log lines rest in the series store, never here. Times are `_ms` (Unix, UTC). Text ids are derived from keys
(see `incidents.ids`), so that two replays of one recording write the same rows; integer ids count commits. What names a
person or was said by one is sealed (`ledger.seal`): the database itself can neither sort nor search it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gateway.ledger.seal import Sealed

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
COUNT = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only in INTEGER PRIMARY KEY columns


def _word(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _sealed(place: str, *, alike: bool = False) -> Column[str]:
    """A column of personal data, named with its table; `alike` where equal texts must be found."""
    return Column(place.partition(".")[2], Sealed(place, alike=alike), nullable=False, server_default="")


def _ms(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _maybe_ms(name: str) -> Column[int | None]:
    return Column(name, BigInteger)


def _number(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=str(default))


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


def _json(name: str) -> Column[object]:
    return Column(name, JSON, nullable=False)


# ---- people ---------------------------------------------------------------------------------------------------------

customers = Table(
    "customers",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    _sealed("customers.name"),
    _word("language", "en"),
    _sealed("customers.note"),
    _ms("created_ms"),
)

contacts = Table(
    "contacts",
    METADATA,
    Column("contact_id", Text, primary_key=True),
    Column("customer_id", Text, ForeignKey("customers.customer_id"), nullable=False, index=True),
    _word("channel", "sms"),
    _sealed("contacts.address", alike=True),  # E.164 for SMS
    _sealed("contacts.name"),
    _word("language", "en"),
    Column("zone", Text),  # IANA, or NULL: derived from the number, then from the device
    _flag("consented"),
    _flag("opted_out"),
    _number("daily_cap", 3),
    _word("quiet_from", "20:00"),
    _word("quiet_to", "09:00"),
    _word("unreachable"),  # why this address can never be reached (`not_mobile`, ...); "" while it can
    UniqueConstraint("channel", "address"),
)

consents = Table(
    "consents",  # what a contact agreed to or took back; rows are only added
    METADATA,
    Column("consent_id", COUNT, primary_key=True, autoincrement=True),
    Column("contact_id", Text, ForeignKey("contacts.contact_id"), nullable=False, index=True),
    _word("kind"),  # opt_in | opt_out
    _word("source"),  # sms_reply | console | import | provider | ...
    _sealed("consents.wording"),  # what was said, or the version of the text agreed to
    _ms("at_ms"),
)

# ---- registry -------------------------------------------------------------------------------------------------------

devices = Table(
    "devices",
    METADATA,
    Column("device_id", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),  # dense: 0, 1, 2, ...
    _word("type"),
    _word("model"),
    _word("hardware"),
    _word("firmware"),
    Column("customer_id", Text, ForeignKey("customers.customer_id"), index=True),
    _word("zone", "UTC"),
    _word("site"),
    _word("credentials_hash"),  # of the MQTT password; "" for a device that may not connect
    _word("command_key"),  # hex; signs commands to this device
    _flag("revoked"),
    _ms("provisioned_ms"),
    _maybe_ms("birth_ms"),  # last birth
    _number("boot"),
    _number("config_version"),
    _word("reboot_reason"),
    _flag("online"),
    _maybe_ms("presence_ms"),  # when `online` last changed
    Column("desired", JSON),  # desired state, or NULL
    Column("reported", JSON),  # reported state, or NULL
    # All that the fleet page sorts, filters and counts by (ledger.views).
    Index("ix_devices_fleet", "device_id", "revoked", "type", "firmware", "online", "presence_ms", "customer_id"),
)

metrics = Table(
    "metrics",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    _word("unit"),
)

series = Table(
    "series",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("device", Integer, ForeignKey("devices.number"), nullable=False),
    Column("metric", Integer, ForeignKey("metrics.number"), nullable=False),
    UniqueConstraint("device", "metric"),
)

# ---- cases ----------------------------------------------------------------------------------------------------------

incidents = Table(
    "incidents",
    METADATA,
    Column("incident_id", Text, primary_key=True),
    _word("fingerprint"),  # `v1:` hash of device and cause
    Column("device_id", Text, nullable=False, index=True),  # "" for a parent; "gateway" for ourselves
    _word("cause"),
    _word("state", "open"),
    _word("severity", "warning"),
    _ms("opened_ms"),
    _ms("updated_ms"),
    _maybe_ms("quiet_ms"),  # since when none of its alerts fires; NULL while one does
    _maybe_ms("resolved_ms"),
    _number("reopened"),
    _json("rules"),
    Column("parent_id", Text, ForeignKey("incidents.incident_id"), index=True),
    _word("muted"),  # why it makes no ticket and no message: silence | maintenance | inhibited | storm | shared_cause
    _json("firing"),  # rules whose alert fires now
    _number("version"),  # counts writes; a writer with an old view changes nothing
    Index("ix_incidents_state_opened_ms", "state", "opened_ms"),
)
Index(
    "uq_incidents_open",  # promise 10: one open incident per device and cause, whoever writes
    incidents.c.fingerprint,
    unique=True,
    sqlite_where=text("state = 'open'"),
    postgresql_where=text("state = 'open'"),
)

alerts = Table(
    "alerts",  # one row per life of an alert: pending is not kept, firing opens it, resolved ends it
    METADATA,
    Column("alert_id", Text, primary_key=True),
    Column("incident_id", Text, ForeignKey("incidents.incident_id"), nullable=False, index=True),
    _word("rule"),
    Column("device_id", Text, nullable=False, index=True),
    _word("cause"),
    _word("severity", "warning"),
    _word("state", "firing"),
    _ms("since_ms"),
    _ms("fired_ms"),
    _maybe_ms("resolved_ms"),
    Column("value", Float),
)

tickets = Table(
    "tickets",
    METADATA,
    Column("ticket_id", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),  # what people say: 1, 2, 3, ...
    Column("incident_id", Text, ForeignKey("incidents.incident_id"), nullable=False, unique=True),
    Column("device_id", Text, nullable=False, index=True),
    Column("customer_id", Text, ForeignKey("customers.customer_id"), index=True),
    _word("title"),
    _word("status", "new"),
    _word("priority", "normal"),
    Column("assignee", Text),  # a login
    Column("outcome", Text),
    _word("attention"),  # why a person must look now (`unknown_outcome`, `hand_over`, ...); "" while none must
    _json("evidence"),
    _ms("opened_ms"),
    _ms("updated_ms"),
    _maybe_ms("solved_ms"),
    _word("desk", "builtin"),
    _word("desk_ref"),
    Index("ix_tickets_status_updated_ms", "status", "updated_ms"),
)

ticket_events = Table(
    "ticket_events",  # the ticket's time line, comments included; rows are only added
    METADATA,
    Column("event_id", COUNT, primary_key=True, autoincrement=True),
    Column("key", Text, unique=True),  # the same occasion never makes two rows; NULL where it cannot repeat
    Column("ticket_id", Text, ForeignKey("tickets.ticket_id"), nullable=False, index=True),
    _ms("at_ms"),
    _word("kind"),  # opened | comment | status | assigned | priority | outcome | message | delivery | reply | ...
    _word("author"),  # a login, `system`, or a contact id
    _sealed("ticket_events.text"),
    Column("detail", JSON),
)

outcomes = Table(
    "outcomes",  # labels: what a ticket turned out to be
    METADATA,
    Column("outcome_id", COUNT, primary_key=True, autoincrement=True),
    Column("ticket_id", Text, ForeignKey("tickets.ticket_id"), nullable=False, index=True),
    Column("incident_id", Text, nullable=False),
    _word("device_id"),
    _word("cause"),
    _json("rules"),
    _word("outcome"),
    _word("author"),
    _sealed("outcomes.note"),
    _ms("at_ms"),
)

service = Table(
    "service",  # which part of a device was serviced, and whether it had failed
    METADATA,
    Column("service_id", COUNT, primary_key=True, autoincrement=True),
    _word("device_id"),
    _word("component"),
    _ms("at_ms"),
    _flag("failed"),
    _word("author"),
    _ms("noted_ms"),
    UniqueConstraint("device_id", "component", "at_ms"),
)

mutes = Table(
    "mutes",  # silences and maintenance windows
    METADATA,
    Column("mute_id", Text, primary_key=True),
    _word("kind", "silence"),  # silence | maintenance
    _json("labels"),  # {"device_id" | "site" | "type" | "firmware" | "rule" | "cause": value}; all must match
    _ms("from_ms"),
    _ms("until_ms"),
    _word("author"),
    _word("reason"),
)

# ---- messages -------------------------------------------------------------------------------------------------------

messages = Table(
    "messages",  # both ways: outgoing rows are the outbox, and with incoming ones the conversation
    METADATA,
    Column("message_id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    _word("direction", "out"),  # out | in
    Column("contact_id", Text, ForeignKey("contacts.contact_id"), nullable=False, index=True),
    Column("ticket_id", Text, ForeignKey("tickets.ticket_id"), index=True),
    _word("channel", "sms"),
    _sealed("messages.text"),
    _word("language", "en"),
    _word("template"),
    _flag("urgent"),
    _word("state", "queued"),  # model.MessageState; `received` for incoming ones
    _word("reason"),  # of the last hold, skip or failure: a stable code
    _ms("created_ms"),
    _ms("due_ms"),  # not to be tried before
    _ms("expires_ms"),
    _number("attempts"),
    _maybe_ms("sending_ms"),  # when it was marked `sending`
    _maybe_ms("sent_ms"),
    _maybe_ms("settled_ms"),  # when the last word came: delivered, undelivered, failed, skipped
    _word("provider_id"),
    _number("provider_rank"),  # of the last status callback; callbacks never move it down
    _number("segments"),
    Column("answers", Text),  # the incoming message an automatic reply answers
    Column("understanding", JSON),  # of an incoming message: intent, mood, language, confidence
    Index("ix_messages_state_due_ms", "state", "due_ms"),
    Index("ix_messages_contact_id_created_ms", "contact_id", "created_ms"),
    Index("ix_messages_provider_id", "provider_id"),
)

webhooks_seen = Table("webhooks_seen", METADATA, Column("key", Text, primary_key=True), _ms("at_ms"))

# ---- access ---------------------------------------------------------------------------------------------------------

users = Table(
    "users",
    METADATA,
    Column("login", Text, primary_key=True),
    _word("name"),
    _word("role", "viewer"),  # admin | agent | viewer
    _word("password_hash"),  # argon2id
    _flag("disabled"),
    _ms("created_ms"),
)

sessions = Table(
    "sessions",
    METADATA,
    Column("token_hash", Text, primary_key=True),  # SHA-256 of the cookie
    Column("login", Text, ForeignKey("users.login"), nullable=False, index=True),
    _word("csrf"),
    _ms("created_ms"),
    _ms("expires_ms"),
)

api_tokens = Table(
    "api_tokens",
    METADATA,
    Column("token_id", Text, primary_key=True),
    Column("token_hash", Text, nullable=False, unique=True),
    Column("login", Text, ForeignKey("users.login"), nullable=False, index=True),
    _word("name"),
    _word("role", "viewer"),
    _ms("created_ms"),
    _maybe_ms("expires_ms"),
    _maybe_ms("revoked_ms"),
    _maybe_ms("used_ms"),
)

audit = Table(
    "audit",  # a chain: hash = SHA-256(prev || canonical JSON of the rest)
    METADATA,
    Column("number", COUNT, primary_key=True, autoincrement=False),
    _ms("at_ms"),
    _word("actor"),
    _word("action"),
    _word("subject"),
    _json("detail"),
    _word("prev"),
    _word("hash"),
)

# ---- the gateway itself ---------------------------------------------------------------------------------------------

watermarks = Table(
    "watermarks",
    METADATA,
    Column("name", Text, primary_key=True),  # `turn`
    Column("window", BigInteger, nullable=False),
    _ms("at_ms"),
)

settings = Table(
    "settings",
    METADATA,
    Column("key", Text, primary_key=True),
    _json("value"),
    _ms("at_ms"),
    _word("author"),
)

counters = Table(
    "counters", METADATA, Column("name", Text, primary_key=True), Column("value", BigInteger, nullable=False)
)

job_runs = Table(
    "job_runs",
    METADATA,
    Column("run_id", COUNT, primary_key=True, autoincrement=True),
    Column("job", Text, nullable=False, index=True),
    _ms("started_ms"),
    _maybe_ms("ended_ms"),
    _word("state", "running"),  # running | done | failed
    _word("detail"),
)

"""What the console and the API read of the fleet and of incidents. Every list has a limit.

A device is in one of four states: `critical` and `warning` by its worst open incident, else `offline` when its link is
lost, else `ok`. A device whose link nobody reports (plain MQTT) is never `offline` by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Case, ColumnElement, Connection, Select, and_, case, func, or_, select

from gateway.errors import NotFound
from gateway.ledger import search
from gateway.ledger.database import Record
from gateway.ledger.tables import alerts, customers, devices, incidents, metrics, series, tickets

OPEN_TICKET = ("new", "open", "waiting")
"""States of tickets that still want a person."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    rows: Sequence[Record]
    total: int
    offset: int
    limit: int

    @property
    def before(self) -> int | None:
        """Offset of the page before; None on the first."""
        return max(0, self.offset - self.limit) if self.offset else None

    @property
    def after(self) -> int | None:
        """Offset of the next page; None on the last."""
        end = self.offset + self.limit
        return end if end < self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFilter:
    """Which devices are meant; empty means any."""

    text: str = ""
    health: str = ""  # critical | warning | offline | ok
    type: str = ""
    firmware: str = ""


_OPEN = (
    select(
        incidents.c.device_id,
        func.max(case({"critical": 2, "warning": 1}, value=incidents.c.severity, else_=0)).label("worst"),
        func.count().label("open_incidents"),
    )
    .where(incidents.c.state == "open", incidents.c.muted != "inhibited")
    .group_by(incidents.c.device_id)
    .subquery("troubled")
)
_OFFLINE = and_(devices.c.online.is_(False), devices.c.presence_ms.is_not(None))
_HEALTH: Case[Any] = case((_OPEN.c.worst == 2, "critical"), (_OPEN.c.worst == 1, "warning"), (_OFFLINE, "offline"),
                          else_="ok")  # fmt: skip
_RANK = case((_OPEN.c.worst == 2, 0), (_OPEN.c.worst == 1, 1), (_OFFLINE, 2), else_=3)
_SECRET = ("credentials_hash", "command_key")
_BULKY = ("desired", "reported")


def _devices(*without: str) -> Select[Any]:
    return (
        select(
            *(column for column in devices.c if column.name not in (*_SECRET, *without)),
            customers.c.name.label("customer"),
            _HEALTH.label("health"),
            func.coalesce(_OPEN.c.open_incidents, 0).label("open_incidents"),
        )
        .outerjoin(_OPEN, _OPEN.c.device_id == devices.c.device_id)
        .outerjoin(customers, customers.c.customer_id == devices.c.customer_id)
    )


def fleet_counts(connection: Connection) -> Sequence[Record]:
    """(type, health, devices), revoked devices left out."""
    query = (
        select(devices.c.type, _HEALTH.label("health"), func.count().label("devices"))
        .outerjoin(_OPEN, _OPEN.c.device_id == devices.c.device_id)
        .where(devices.c.revoked.is_(False))
        .group_by(devices.c.type, _HEALTH)
    )
    return connection.execute(query.order_by(devices.c.type)).all()


def firmware_counts(connection: Connection, *, limit: int = 30) -> Sequence[Record]:
    """(type, firmware, devices), most common first, revoked devices left out."""
    number = func.count().label("devices")
    query = select(devices.c.type, devices.c.firmware, number).where(devices.c.revoked.is_(False))
    query = query.group_by(devices.c.type, devices.c.firmware).order_by(number.desc(), devices.c.firmware)
    return connection.execute(query.limit(limit)).all()


def fleet_page(connection: Connection, wanted: FleetFilter, *, limit: int = 50, offset: int = 0) -> Page:
    """Devices, worst first, with `customer`, `health` and `open_incidents`.

    Which devices make the page is decided on ids alone, out of one index; only theirs are read whole.
    """
    ids = select(devices.c.device_id).outerjoin(_OPEN, _OPEN.c.device_id == devices.c.device_id)
    where: list[ColumnElement[bool]] = [devices.c.revoked.is_(False)]
    if needle := wanted.text.strip():
        fields = (devices.c.device_id, devices.c.model, devices.c.site, devices.c.firmware)
        owned = devices.c.customer_id.in_(search.named(connection, needle))
        where.append(or_(owned, *(field.icontains(needle, autoescape=True) for field in fields)))
    if wanted.health:
        where.append(_HEALTH.in_((wanted.health,)))
    if wanted.type:
        where.append(devices.c.type == wanted.type)
    if wanted.firmware:
        where.append(devices.c.firmware == wanted.firmware)
    ids = ids.where(*where)
    total = connection.execute(ids.with_only_columns(func.count())).scalar_one()
    chosen = connection.execute(ids.order_by(_RANK, devices.c.device_id).limit(limit).offset(offset)).scalars().all()
    query = _devices(*_BULKY).where(devices.c.device_id.in_(chosen)).order_by(_RANK, devices.c.device_id)
    return Page(rows=connection.execute(query).all(), total=total, offset=offset, limit=limit)


def device(connection: Connection, device_id: str) -> Record:
    """One device with `customer`, `health` and `open_incidents`. Raises NotFound (`device`)."""
    row = connection.execute(_devices().where(devices.c.device_id == device_id)).one_or_none()
    if row is None:
        raise NotFound("device", device_id)
    return row


def devices_of(connection: Connection, customer_id: str) -> Sequence[Record]:
    """Devices of a customer, worst first, with `health` and `open_incidents`."""
    query = _devices(*_BULKY).where(devices.c.customer_id == customer_id, devices.c.revoked.is_(False))
    return connection.execute(query.order_by(_RANK, devices.c.device_id).limit(200)).all()


def device_series(connection: Connection, number: int) -> Sequence[Record]:
    """(number, metric, unit) of a device's series, by metric."""
    query = (
        select(series.c.number, metrics.c.name.label("metric"), metrics.c.unit)
        .join(metrics, metrics.c.number == series.c.metric)
        .where(series.c.device == number)
        .order_by(metrics.c.name)
    )
    return connection.execute(query).all()


def _incidents() -> Select[Any]:
    child = incidents.alias("child")
    explained = select(func.count()).where(child.c.parent_id == incidents.c.incident_id).scalar_subquery()
    return (
        select(
            incidents,
            devices.c.type,
            devices.c.model,
            devices.c.firmware,
            devices.c.site,
            devices.c.customer_id,
            customers.c.name.label("customer"),
            explained.label("children"),
            tickets.c.ticket_id,
            tickets.c.number.label("ticket_number"),
            tickets.c.status.label("ticket_status"),
        )
        .outerjoin(devices, devices.c.device_id == incidents.c.device_id)
        .outerjoin(customers, customers.c.customer_id == devices.c.customer_id)
        .outerjoin(tickets, tickets.c.incident_id == incidents.c.incident_id)
    )


def incident_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many incidents there are by (state, severity)."""
    query = select(incidents.c.state, incidents.c.severity, func.count())
    rows = connection.execute(query.group_by(incidents.c.state, incidents.c.severity))
    return {(row[0], row[1]): row[2] for row in rows}


def incident_page(
    connection: Connection,
    *,
    state: str = "",
    severity: str = "",
    text: str = "",
    device_id: str = "",
    limit: int = 50,
    offset: int = 0,
) -> Page:
    """Incidents, newest first, with device, customer and ticket columns, and how many `children` they explain."""
    equal = {incidents.c.state: state, incidents.c.severity: severity, incidents.c.device_id: device_id}
    where = [column == value for column, value in equal.items() if value]
    if needle := text.strip():
        fields = (incidents.c.device_id, incidents.c.cause, devices.c.site)
        owned = devices.c.customer_id.in_(search.named(connection, needle))
        where.append(or_(owned, *(field.icontains(needle, autoescape=True) for field in fields)))
    query = _incidents().where(*where)
    total = connection.execute(query.with_only_columns(func.count())).scalar_one()
    ordered = query.order_by(incidents.c.opened_ms.desc(), incidents.c.incident_id).limit(limit).offset(offset)
    return Page(rows=connection.execute(ordered).all(), total=total, offset=offset, limit=limit)


def incident(connection: Connection, incident_id: str) -> Record:
    """One incident with device, customer and ticket columns. Raises NotFound (`incident`)."""
    row = connection.execute(_incidents().where(incidents.c.incident_id == incident_id)).one_or_none()
    if row is None:
        raise NotFound("incident", incident_id)
    return row


def incident_alerts(connection: Connection, incident_id: str) -> Sequence[Record]:
    """Alerts of an incident, newest first."""
    query = select(alerts).where(alerts.c.incident_id == incident_id)
    return connection.execute(query.order_by(alerts.c.fired_ms.desc(), alerts.c.alert_id).limit(200)).all()


def children(connection: Connection, incident_id: str) -> Sequence[Record]:
    """Incidents that a parent explains."""
    query = _incidents().where(incidents.c.parent_id == incident_id)
    return connection.execute(query.order_by(incidents.c.opened_ms, incidents.c.incident_id).limit(200)).all()

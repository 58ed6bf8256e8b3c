"""Devices, metrics and series: who may connect, and the dense numbers by which the hot path knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, insert, select, update

from gateway.errors import NotFound, Refused
from gateway.ledger.database import Record, add_new, reading, take_numbers, writing
from gateway.ledger.tables import counters, devices, metrics, series
from gateway.model import Birth, CustomerId, Device, DeviceId, Presence, Roster

ROSTER = "roster"  # the counter of changes that touch many devices
_IDENTITY = ("type", "model", "hardware", "firmware")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """A device to provision; `credentials_hash` is what the broker compares, never the password itself."""

    device_id: DeviceId
    type: str
    model: str = ""
    hardware: str = ""
    firmware: str = ""
    customer_id: CustomerId | None = None
    zone: str = "UTC"
    site: str = ""
    credentials_hash: str = ""
    command_key: str = ""  # hex


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """A device with what the registry alone knows of it."""

    device: Device
    provisioned_ms: int
    birth_ms: int | None
    boot: int
    config_version: int
    reboot_reason: str
    online: bool
    presence_ms: int | None
    desired: object
    reported: object


def load_roster(engine: Engine) -> Roster:
    """The whole roster as it was saved, revoked devices included, for numbers are never reused."""
    roster = Roster()
    with reading(engine) as connection:
        for row in connection.execute(select(devices).order_by(devices.c.number)):
            roster.put_device(_device(row))
        for row in connection.execute(select(metrics).order_by(metrics.c.number)):
            roster.metric(row.name)
        for row in connection.execute(select(series).order_by(series.c.number)):
            roster.series(row.device, row.metric)
    return roster


def save_new_series(
    engine: Engine, roster: Roster, *, from_series: int, from_metric: int, units: dict[str, str] | None = None
) -> None:
    """Save what the roster has grown by, from the given numbers on; repeating it changes nothing."""
    owner, kind = roster.series_device, roster.series_metric
    with writing(engine) as connection:
        new_metrics = [
            {"number": n, "name": roster.metrics[n], "unit": (units or {}).get(roster.metrics[n], "")}
            for n in range(from_metric, len(roster.metrics))
        ]
        add_new(connection, metrics, new_metrics)
        new_series = [
            {"number": n, "device": int(owner[n]), "metric": int(kind[n])} for n in range(from_series, owner.size)
        ]
        add_new(connection, series, new_series)


def add_devices(engine: Engine, wanted: Sequence[NewDevice], *, now_ms: int) -> tuple[Device, ...]:
    """Provision devices in one transaction; they get the next numbers, in order.

    Raises:
        Refused: `device_exists`: one of the ids is taken; none is added.
    """
    with writing(engine) as connection:
        ids = [new.device_id for new in wanted]
        taken = connection.execute(select(devices.c.device_id).where(devices.c.device_id.in_(ids))).scalars().first()
        if taken is not None:
            raise Refused("device_exists", f"{taken} is provisioned already")
        top = connection.execute(select(func.max(devices.c.number))).scalar_one()
        first = 0 if top is None else int(top) + 1
        rows = [
            {name: getattr(new, name) for name in new.__slots__} | {"number": first + i, "provisioned_ms": now_ms}
            for i, new in enumerate(wanted)
        ]
        if rows:
            connection.execute(insert(devices), rows)
        made = connection.execute(select(devices).where(devices.c.number >= first).order_by(devices.c.number))
        return tuple(_device(row) for row in made)


def find_device(engine: Engine, device_id: str) -> DeviceRecord:
    """One device.

    Raises:
        NotFound: `device`: there is none of that id.
    """
    with reading(engine) as connection:
        row = connection.execute(select(devices).where(devices.c.device_id == device_id)).one_or_none()
    if row is None:
        raise NotFound("device", device_id)
    return _record(row)


def list_devices(
    engine: Engine,
    *,
    search: str = "",
    device_type: str = "",
    customer_id: str = "",
    first: int = 0,
    limit: int = 100_000,
) -> tuple[DeviceRecord, ...]:
    """Devices by number, from `first` on; `search` looks in id, model, site and firmware."""
    query = select(devices).where(devices.c.number >= first).order_by(devices.c.number).limit(limit)
    if search:
        columns = (devices.c.device_id, devices.c.model, devices.c.site, devices.c.firmware)
        wanted = columns[0].icontains(search, autoescape=True)
        for column in columns[1:]:
            wanted = wanted | column.icontains(search, autoescape=True)
        query = query.where(wanted)
    if device_type:
        query = query.where(devices.c.type == device_type)
    if customer_id:
        query = query.where(devices.c.customer_id == customer_id)
    with reading(engine) as connection:
        return tuple(_record(row) for row in connection.execute(query))


def credentials(engine: Engine) -> dict[DeviceId, str]:
    """Credentials hash of every device that may connect."""
    query = select(devices.c.device_id, devices.c.credentials_hash).where(
        devices.c.revoked.is_(False), devices.c.credentials_hash != ""
    )
    with reading(engine) as connection:
        return {DeviceId(row.device_id): row.credentials_hash for row in connection.execute(query)}


def credential_of(engine: Engine, device_id: str) -> str | None:
    """Credentials hash of one device; None where it is unknown or may not connect."""
    query = select(devices.c.credentials_hash).where(
        devices.c.device_id == device_id, devices.c.revoked.is_(False), devices.c.credentials_hash != ""
    )
    with reading(engine) as connection:
        return connection.execute(query).scalar_one_or_none()


def touch_roster(connection: Connection) -> None:
    """Say that what is known of many devices has changed, so that running gateways read it anew."""
    take_numbers(connection, ROSTER)


def roster_version(engine: Engine) -> int:
    """How often `touch_roster` was called."""
    with reading(engine) as connection:
        return int(connection.execute(select(counters.c.value).where(counters.c.name == ROSTER)).scalar() or 0)


def reread_roster(engine: Engine, roster: Roster) -> None:
    """Take into the roster whatever has changed of any device."""
    with reading(engine) as connection:
        found = [_device(row) for row in connection.execute(select(devices).order_by(devices.c.number))]
    for device in found:
        if roster.device(device.device_id) != device:
            roster.put_device(device)


def refresh_roster(engine: Engine, roster: Roster) -> tuple[DeviceId, ...]:
    """Take devices into the roster that were added, revoked or renewed since it was loaded; the ids newly revoked."""
    was_revoked = [device.number for device in roster.devices if device.revoked]
    changed = (devices.c.number >= len(roster.devices)) | devices.c.revoked | devices.c.number.in_(was_revoked)
    query = select(devices).where(changed).order_by(devices.c.number)
    with reading(engine) as connection:
        found = [_device(row) for row in connection.execute(query)]
    news = [device for device in found if roster.device(device.device_id) != device]
    for device in news:
        roster.put_device(device)
    return tuple(device.device_id for device in news if device.revoked)


def command_key(engine: Engine, device_id: str) -> bytes:
    """The key that signs commands to a device; empty where it has none.

    Raises:
        NotFound: `device`: there is none of that id.
    """
    with reading(engine) as connection:
        found = connection.execute(select(devices.c.command_key).where(devices.c.device_id == device_id)).scalar()
    if found is None:
        raise NotFound("device", device_id)
    return bytes.fromhex(found)


def set_credentials(engine: Engine, device_id: str, *, credentials_hash: str, command_key: str) -> None:
    """Give a device new credentials; the old ones are void. Raises NotFound (`device`)."""
    _change(engine, device_id, {"credentials_hash": credentials_hash, "command_key": command_key, "revoked": False})


def revoke_device(engine: Engine, device_id: str) -> None:
    """Take a device's right to connect; its history stays. Raises NotFound (`device`)."""
    _change(engine, device_id, {"revoked": True, "credentials_hash": "", "command_key": "", "online": False})


def assign_device(engine: Engine, device_id: str, *, customer_id: str | None, zone: str, site: str) -> Device:
    """Say whose a device is and where it stands. Raises NotFound (`device`)."""
    return _change(engine, device_id, {"customer_id": customer_id, "zone": zone, "site": site})


def set_desired(engine: Engine, device_id: str, desired: object) -> None:
    """Keep the settings we want a device to have. Raises NotFound (`device`)."""
    _change(engine, device_id, {"desired": desired})


def desired_of(engine: Engine, ids: Sequence[DeviceId]) -> dict[DeviceId, dict[str, Any]]:
    """The desired settings (`version`, `settings`) of those of the devices that have some."""
    query = select(devices.c.device_id, devices.c.desired).where(devices.c.device_id.in_(ids))
    with reading(engine) as connection:
        return {row.device_id: row.desired for row in connection.execute(query) if row.desired}


def record_reported(engine: Engine, device_id: str, reported: object) -> None:
    """Keep the settings a device says it has. Raises NotFound (`device`)."""
    _change(engine, device_id, {"reported": reported})


def record_births(engine: Engine, births: Iterable[Birth], presence: Iterable[Presence] = ()) -> tuple[Device, ...]:
    """Keep what devices said of themselves, and whether they are there; older news than what is kept is ignored.

    Returns:
        Devices whose identity (type, model, hardware, firmware) changed: put them into the roster.
    """
    with writing(engine) as connection:
        before = _by_id(connection, [birth.device_id for birth in births])
        for birth in sorted(births, key=lambda b: b.t_ms):
            _keep_birth(connection, birth)
        for change in sorted(presence, key=lambda p: p.t_ms):
            connection.execute(
                update(devices)
                .where(devices.c.device_id == change.device_id, func.coalesce(devices.c.presence_ms, 0) <= change.t_ms)
                .values(online=change.online, presence_ms=change.t_ms)
            )
        after = _by_id(connection, list(before))
    return tuple(device for key, device in after.items() if device.cohort != before[key].cohort)


def _keep_birth(connection: Connection, birth: Birth) -> None:
    said = {name: value for name in _IDENTITY if (value := getattr(birth, name))}
    connection.execute(
        update(devices)
        .where(devices.c.device_id == birth.device_id, func.coalesce(devices.c.birth_ms, 0) <= birth.t_ms)
        .values(
            birth_ms=birth.t_ms,
            boot=birth.boot,
            config_version=birth.config_version,
            reboot_reason=birth.reboot_reason,
            online=True,
            presence_ms=birth.t_ms,
            **said,
        )
    )


def _by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Device]:
    query = select(devices).where(devices.c.device_id.in_(ids)).order_by(devices.c.number)
    return {row.device_id: _device(row) for row in connection.execute(query)}


def _change(engine: Engine, device_id: str, values: dict[str, object]) -> Device:
    statement = update(devices).where(devices.c.device_id == bindparam("wanted")).values(values).returning(devices)
    with writing(engine) as connection:
        row = connection.execute(statement, {"wanted": device_id}).one_or_none()
    if row is None:
        raise NotFound("device", device_id)
    return _device(row)


def _device(row: Record) -> Device:
    return Device(
        device_id=DeviceId(row.device_id),
        number=row.number,
        type=row.type,
        model=row.model,
        hardware=row.hardware,
        firmware=row.firmware,
        customer_id=None if row.customer_id is None else CustomerId(row.customer_id),
        zone=row.zone,
        site=row.site,
        revoked=row.revoked,
    )


def _record(row: Record) -> DeviceRecord:
    return DeviceRecord(
        device=_device(row),
        provisioned_ms=row.provisioned_ms,
        birth_ms=row.birth_ms,
        boot=row.boot,
        config_version=row.config_version,
        reboot_reason=row.reboot_reason,
        online=row.online,
        presence_ms=row.presence_ms,
        desired=row.desired,
        reported=row.reported,
    )

"""Commands on devices: give them an identity, look at them, take it away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from gateway.cli.common import SettingsPath, console, now_ms, open_ledger, settings_of

device_app = typer.Typer(help="Devices of the fleet.", no_args_is_help=True)
TIME = "%Y-%m-%dT%H:%M"
Id = Annotated[str, typer.Argument(help="Device id: letters, digits, `_`, `-`.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(device_app, name="device")


@device_app.command("add")
def add(
    device_id: Id,
    type: Annotated[str, typer.Option("--type", help="Product type, as smart_lock: chooses its rules.")],  # noqa: A002
    model: Annotated[str, typer.Option(help="Model.")] = "",
    hardware: Annotated[str, typer.Option(help="Hardware revision.")] = "",
    zone: Annotated[str, typer.Option(help="IANA zone of where it stands.")] = "UTC",
    site: Annotated[str, typer.Option(help="Where it stands.")] = "",
    host: Annotated[str, typer.Option(help="Address of the broker as the device sees it.")] = "",
    path: SettingsPath = None,
) -> None:
    """Provision a device and print its agent's settings file, with its credentials, this once."""
    from gateway.ledger.registry import NewDevice
    from gateway.model import DeviceId
    from gateway.services import provision

    settings = settings_of(path)
    endpoint = provision.endpoint_of(settings.broker, host)  # first: what cannot be printed shall not be made
    new = NewDevice(device_id=DeviceId(device_id), type=type, model=model, hardware=hardware, zone=zone, site=site)
    (made,) = provision.add(open_ledger(settings), [new], now_ms=now_ms())
    print(provision.agent_toml(made, endpoint), end="")


@device_app.command("renew")
def renew(
    device_id: Id,
    host: Annotated[str, typer.Option(help="Address of the broker as the device sees it.")] = "",
    path: SettingsPath = None,
) -> None:
    """Give a device new credentials and print its settings file; the old ones are void."""
    from gateway.services import provision

    settings = settings_of(path)
    endpoint = provision.endpoint_of(settings.broker, host)
    made = provision.renew(open_ledger(settings), device_id)
    print(provision.agent_toml(made, endpoint), end="")


@device_app.command("list")
def list_(
    search: Annotated[str, typer.Argument(help="Part of an id, model, site or firmware.")] = "",
    path: SettingsPath = None,
) -> None:
    """List devices."""
    from gateway.ledger import registry

    table = Table(box=None, pad_edge=False)
    for title in ("device", "type", "model", "firmware", "site", "state"):
        table.add_column(title)
    for record in registry.list_devices(open_ledger(settings_of(path)), search=search):
        d = record.device
        state = "revoked" if d.revoked else "online" if record.online else "offline"
        table.add_row(d.device_id, d.type, d.model, d.firmware, d.site, state)
    console.print(table)


@device_app.command("show")
def show(device_id: Id, path: SettingsPath = None) -> None:
    """Show what is known of a device, without its secrets."""
    from gateway.services import provision

    record = provision.show(open_ledger(settings_of(path)), device_id)
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in ("device_id", "type", "model", "hardware", "firmware", "customer_id", "zone", "site", "revoked"):
        table.add_row(name, str(getattr(record.device, name) or "-"))
    for name in ("online", "boot", "reboot_reason", "config_version", "desired", "reported"):
        table.add_row(name, str(getattr(record, name)))
    console.print(table)


@device_app.command("served")
def served(
    device_id: Id,
    component: Annotated[str, typer.Argument(help="The part, as compressor; always by the same name.")],
    at: Annotated[datetime | None, typer.Option(formats=[TIME], help="When, UTC; now where it is left out.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="It had failed by then.")] = False,
    path: SettingsPath = None,
) -> None:
    """Note that a part of a device was serviced: it teaches which parts fail."""
    from gateway.ledger import service

    at_ms = int(at.replace(tzinfo=UTC).timestamp() * 1000) if at else now_ms()
    engine = open_ledger(settings_of(path))
    service.note(engine, device_id, component, at_ms=at_ms, failed=failed, author="cli", now_ms=now_ms())
    console.print(f"{component} of {device_id} was serviced")


@device_app.command("revoke")
def revoke(device_id: Id, path: SettingsPath = None) -> None:
    """Take a device's right to connect; its history stays."""
    from gateway.services import provision

    provision.revoke(open_ledger(settings_of(path)), device_id)
    console.print(f"{device_id} may connect no more")

"""`beforehand demo`: a gateway of its own, and 200 simulated devices that run the real agent against it.

The devices are a process of their own (`python -m firmware_sim.demo`), as they would be in life. What makes the demo
the same fleet after a restart (seed, moment of going live, credentials) is kept in `demo.json` beside its data.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rich.live import Live

from firmware_sim import Owner
from firmware_sim.demo import demo_fleet
from gateway.app import Gateway
from gateway.app.make import data_folder
from gateway.broker import end_orphan
from gateway.cli import panel
from gateway.cli.common import console, now_ms
from gateway.cli.serve import set_up_logs, until_stopped
from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.ledger import access, people
from gateway.ledger.database import reading
from gateway.ledger.registry import NewDevice
from gateway.model import Contact, Customer, CustomerId, DeviceId
from gateway.services import provision

SEED = 7
DAYS = 30
DAY_MS = 86_400_000
STOP_S = 2.0  # for devices to say goodbye; of the five seconds in which all is to be gone
MARK = "this-is-a-demo"  # stands in the folder from the first start on, so that --fresh empties no other
LOGIN = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """What stays the same from start to start."""

    seed: int
    devices: int
    begun_ms: int  # of the first start: the end of the past that is played
    password: str
    credentials: dict[str, dict[str, str]]  # device -> token, command_key


async def run(folder: Path, *, fresh: bool, size: int, port: int, mqtt_port: int) -> None:
    """Run the demo until Ctrl-C.

    Raises:
        ConfigError: `port_in_use`, `folder_not_ours`, `demo_unfinished`, `devices_ended`, and what opening a gateway
            raises.
    """
    with data_folder(folder):
        _claim(folder, fresh=fresh)
    set_up_logs("info", folder / "gateway.log")
    given = {"data_dir": str(folder), "broker": {"port": mqtt_port}, "web": {"port": port}}
    settings = Settings.model_validate(given | {"ingest": {"linger": "0.3s"}})
    console.print("[bold]Beforehand[/]: starting broker, stores and console ...")

    async def beside(gateway: Gateway) -> None:
        show = await asyncio.to_thread(_prepare, gateway, folder, size)
        async with _devices(gateway, show, folder) as ended:
            watched = asyncio.ensure_future(_watch(gateway, show))
            try:
                await asyncio.wait((watched, ended), return_when=asyncio.FIRST_COMPLETED)
            finally:
                watched.cancel()  # also where we are cancelled ourselves: the panel ends before the last word
                await asyncio.wait((watched,))
            if ended.done():
                told = f"the simulated devices stopped with code {ended.result()}; see {folder / 'devices.log'}"
                raise ConfigError("devices_ended", told)
            await watched

    try:
        await until_stopped(settings, beside)
    except ConfigError as exc:
        if exc.code != "port_in_use":
            raise
        way_out = exc.detail.replace("set web.port", "say --port 0").replace("set broker.port", "say --mqtt-port 0")
        raise ConfigError(exc.code, way_out) from exc
    console.print("stopped; `make demo` goes on with this data, `make demo ARGS=--fresh` begins anew")


def _claim(folder: Path, *, fresh: bool) -> None:
    """Mark an empty folder as the demo's; with `fresh`, empty it of what earlier runs left, and of nothing else."""
    names = {path.name for path in folder.iterdir()} - {".lock"}
    if names and MARK not in names:
        raise ConfigError("folder_not_ours", f"{folder} holds something else: name another --folder, or empty it")
    if fresh:
        end_orphan(folder / "broker")
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / MARK).touch()


def _prepare(gateway: Gateway, folder: Path, size: int) -> Show:
    """Provision the fleet at the first start; at later ones, read what it was."""
    path = folder / "demo.json"
    if path.exists():
        return Show(**json.loads(path.read_text()))
    if gateway.roster.devices:
        raise ConfigError("demo_unfinished", "the first start was cut short: begin anew with --fresh")
    password = f"{secrets.randbelow(900_000) + 100_000}-show"
    begun_ms = now_ms()
    show = Show(seed=SEED, devices=size, begun_ms=begun_ms, password=password, credentials={})
    engine = gateway.ledger
    units = demo_fleet(SEED, size, DAYS, begun_ms=begun_ms, live_ms=begun_ms).registry()
    access.save_user(engine, access.User(login=LOGIN, name="Demo", role="admin"), password=password, now_ms=now_ms())
    customers = _customers([u.owner for u in units])
    people.save_customers(engine, customers, now_ms=begun_ms)
    for contact in (contact for customer in customers for contact in customer.contacts):
        people.record_consent(
            engine, contact.contact_id, "opt_in", source="demo", wording="agreed at purchase", at_ms=begun_ms
        )
    wanted = [
        NewDevice(
            device_id=DeviceId(u.device), type=u.type, model=u.model, hardware=u.hardware, firmware=u.firmware,
            customer_id=CustomerId(u.owner.customer), zone=u.zone, site=u.site,
        )
        for u in units
    ]  # fmt: skip
    for made in provision.add(engine, wanted, now_ms=now_ms()):
        device_id = made.device.device_id
        show.credentials[device_id] = {"user": device_id, "token": made.token, "command_key": made.command_key}
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps({name: getattr(show, name) for name in Show.__slots__}))
    draft.replace(path)
    return show


def _customers(owners: list[Owner]) -> list[Customer]:
    """Owners as customers, each with one telephone; a number that is taken leaves its owner without."""
    taken: set[str] = set()
    found = []
    for owner in sorted(set(owners)):
        contact = Contact(
            contact_id=f"{owner.customer}-phone", customer_id=CustomerId(owner.customer), channel="sms",
            address=owner.phone, language=owner.language, zone=owner.zone, name=owner.name,
        )  # fmt: skip
        contacts = () if owner.phone in taken else (contact,)
        taken.add(owner.phone)
        found.append(Customer(customer_id=CustomerId(owner.customer), name=owner.name, contacts=contacts))
    return found


@contextlib.asynccontextmanager
async def _devices(gateway: Gateway, show: Show, folder: Path) -> AsyncIterator[asyncio.Future[int]]:
    """The simulated devices, in a process of their own, for as long as the block runs; gives its exit code."""
    config = folder / "devices.json"
    config.touch(mode=0o600)
    said = {
        "broker": f"mqtt://127.0.0.1:{gateway.mqtt_port}", "credentials": show.credentials, "seed": show.seed,
        "devices": show.devices, "days": DAYS, "folder": str(folder / "devices"),
    }  # fmt: skip
    config.write_text(json.dumps(said))
    with (folder / "devices.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "firmware_sim.demo", "--config", str(config), stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    ended = asyncio.ensure_future(process.wait())
    try:
        yield ended
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait((ended,), timeout=STOP_S)
        if not ended.done():
            process.kill()
            await ended


async def _watch(gateway: Gateway, show: Show) -> None:
    """Show how it goes, until cancelled: a live panel on a terminal, a line every ten seconds elsewhere."""
    if not console.is_terminal:
        while True:
            console.print(panel.line(await asyncio.to_thread(_moment, gateway, show)), soft_wrap=True)
            await asyncio.sleep(10)
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while True:
            moment = await asyncio.to_thread(_moment, gateway, show)
            live.update(panel.panel(moment, width=console.width))
            await asyncio.sleep(1)


def _moment(gateway: Gateway, show: Show) -> panel.Moment:
    clock, start_ms = gateway.turn.clock, show.begun_ms - DAYS * DAY_MS
    with reading(gateway.ledger) as connection:
        counted = panel.count(connection)
    return panel.Moment(
        url=gateway.console_url, login=LOGIN, password=show.password, devices=show.devices, days=DAYS,
        share=None if clock.live else max(0.0, min(1.0, (clock.now_ms - start_ms) / (DAYS * DAY_MS))),
        values=gateway.receiver.counts["values"], behind_s=gateway.receiver.lag_ms / 1000, now_ms=now_ms(),
        counted=counted,
    )  # fmt: skip

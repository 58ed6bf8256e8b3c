"""Commands that run: the gateway, and the demo."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from gateway.cli.common import SettingsPath, console, settings_of

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.config import Settings


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("run")(run)
    app.command("demo")(demo)


def run(path: SettingsPath = None) -> None:
    """Run the gateway until Ctrl-C or SIGTERM."""
    settings = settings_of(path)
    set_up_logs(settings.log_level)

    async def told(gateway: Gateway) -> None:
        console.print(f"console {gateway.console_url}", f"MQTT port {gateway.mqtt_port}" if gateway.mqtt_port else "")
        if not await asyncio.to_thread(has_users, gateway):
            console.print("nobody may sign in yet: `beforehand user add LOGIN --role admin`")
        await asyncio.Event().wait()

    asyncio.run(until_stopped(settings, told))


def demo(
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the data of earlier runs.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its data.")] = Path("demo-data"),
    devices: Annotated[int, typer.Option(help="How many devices are simulated.", min=3, max=5000)] = 200,
    port: Annotated[int, typer.Option(help="Port of the console.")] = 8460,
    mqtt_port: Annotated[int, typer.Option(help="Port of the broker; 0 picks a free one.")] = 0,
) -> None:
    """Run 200 simulated devices against a gateway of their own; Ctrl-C stops all of it."""
    from gateway.cli import demonstration

    asyncio.run(demonstration.run(folder, fresh=fresh, size=devices, port=port, mqtt_port=mqtt_port))


def has_users(gateway: Gateway) -> bool:
    """Whether anybody may sign in."""
    from gateway.ledger import access

    return bool(access.list_users(gateway.ledger))


async def until_stopped(settings: Settings, beside: Callable[[Gateway], Awaitable[None]]) -> None:
    """Serve until SIGINT or SIGTERM, or until `beside`, which runs along, returns. Raises ConfigError."""
    from gateway.app import open_gateway

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` asks for
            loop.add_signal_handler(number, stopped.set)
    async with open_gateway(settings) as gateway:
        tasks = [
            asyncio.create_task(gateway.serve()),
            asyncio.ensure_future(beside(gateway)),
            asyncio.create_task(stopped.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


def set_up_logs(level: str, file: Path | None = None) -> None:
    """Canonical lines: JSON where nobody watches, colours on a terminal, or into a file."""
    number = logging.getLevelNamesMapping()[level.upper()]
    human = file is None and sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer()
    stream = sys.stderr if file is None else file.open("a")
    logging.basicConfig(level=logging.WARNING, stream=stream)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )

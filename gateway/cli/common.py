"""What commands share: the settings option, the console, the ledger."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from sqlalchemy import Engine

from gateway import config
from gateway.config import Settings

SettingsPath: TypeAlias = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings file (TOML).", envvar="BEFOREHAND_CONFIG")
]
JsonPath: TypeAlias = Annotated[Path | None, typer.Option("--json", help="Also write the result to this file as JSON.")]

console = Console(highlight=False)
DEFAULT_SETTINGS = Path("beforehand.toml")


def now_ms() -> int:
    """Wall clock, Unix ms."""
    return time.time_ns() // 1_000_000


def settings_of(path: Path | None) -> Settings:
    """The settings of `--config`, else of `beforehand.toml` where it is, else the defaults; the environment wins."""
    if path is None and DEFAULT_SETTINGS.exists():
        path = DEFAULT_SETTINGS
    return config.load(path)


def open_ledger(settings: Settings) -> Engine:
    """The ledger, migrated to this version and unlocked."""
    from gateway import ledger

    if not settings.ledger.url:
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    return ledger.open_ledger(settings.ledger_url, settings.ledger_key_file, now_ms=now_ms())


def write_json(path: Path | None, value: object) -> None:
    """Write a result for programs, where one was asked for."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")

"""`python -m firmware_sim.demo --config FILE`: a fleet that plays its last month within a minute, then goes on live.

The file is JSON: `Config` has its keys. What has been played is noted in `folder`, so a second start plays only what
has passed since. On standard output stands one JSON object a line: {"event": "playing", "share": 0.4, ...}.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from edge.config import LinkSettings
from edge.link import tls_context
from edge.schedule import SYSTEM_CLOCK
from firmware_sim.fleet import Fleet
from firmware_sim.player import CHATTER_MS, ROUND_MS, WINDOW, Player, Secret, Stage
from firmware_sim.region import DAY_MS, HOUR_MS

CONNECT_S: Final = 20.0  # the past starts then, with whoever is connected
SETTLE_S: Final = 60.0  # how long the end of the past waits for its last marks
FAULTY_RATIO: Final = 0.12  # of the demo's devices, besides those that ripen in the show


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the demo needs to know."""

    broker: str  # mqtt://HOST:PORT or mqtts://HOST:PORT
    credentials: Mapping[str, Mapping[str, str]]  # device: {"token": ..., and if need be "user", "command_key" in hex}
    folder: Path
    ca_pem: str = ""  # certificates to trust with mqtts; empty: those of the system
    seed: int = 1
    devices: int = 200
    days: int = 30
    step_s: float = 1800.0  # between samples of the past
    pace_s: float = 10.0  # between samples of the present


@dataclass(slots=True)
class Played:
    """How far the show has come; kept in `played.json`, so that a second start goes on."""

    path: Path
    begun_ms: int = 0  # end of the fleet's history: the first start
    played_ms: int = 0
    live_ms: int = 0  # when it first went live; 0: not yet

    @staticmethod
    def read(folder: Path, now_ms: int, days: int) -> Played:
        """What was noted, or a beginning."""
        path = folder / "played.json"
        try:
            held = json.loads(path.read_text())
            return Played(path, int(held["begun_ms"]), int(held["played_ms"]), int(held["live_ms"]))
        except (OSError, ValueError, KeyError, TypeError):
            begun = now_ms // HOUR_MS * HOUR_MS
            return Played(path, begun, begun - days * DAY_MS)

    def note(self, played_ms: int, *, live_ms: int = 0) -> None:
        """Remember how far it has come."""
        self.played_ms, self.live_ms = played_ms, self.live_ms or live_ms
        held = {"begun_ms": self.begun_ms, "played_ms": self.played_ms, "live_ms": self.live_ms}
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(held))
        draft.replace(self.path)


def demo_fleet(seed: int, devices: int, days: int, *, begun_ms: int, live_ms: int) -> Fleet:
    """The fleet of the demo; its registry is the same for every `live_ms`."""
    return Fleet(
        seed, devices, start_ms=begun_ms - days * DAY_MS, end_ms=begun_ms, faulty_ratio=FAULTY_RATIO, live_ms=live_ms
    )


@dataclass(slots=True)
class Show:
    """One run of the demo."""

    config: Config
    tell: Callable[[dict[str, object]], None]
    stopped: Callable[[], bool]
    played: Played = field(init=False)
    player: Player = field(init=False)

    def run(self) -> None:
        """Play the past, then the present, until stopped."""
        config, now_ms = self.config, SYSTEM_CLOCK.now_ms()
        config.folder.mkdir(parents=True, exist_ok=True)
        self.played = Played.read(config.folder, now_ms, config.days)
        secrets = {
            name: Secret(held.get("user", name), held["token"], held.get("command_key", ""))
            for name, held in config.credentials.items()
        }
        self.player = Player(self._fleet(self.played.live_ms or now_ms), _stage(config), secrets)
        try:
            self._connect()
            self._past()
            self._present()
        finally:
            self.player.stop()

    def _fleet(self, live_ms: int) -> Fleet:
        config = self.config
        return demo_fleet(config.seed, config.devices, config.days, begun_ms=self.played.begun_ms, live_ms=live_ms)

    def _connect(self) -> None:
        until_s = monotonic() + CONNECT_S
        while self.player.linked < len(self.player.agents) and monotonic() < until_s and not self.stopped():
            self.player.serve(0.05)
        self.tell({"event": "connected", "devices": self.player.linked})

    def _past(self) -> None:
        """Round by round, all devices together; waits where the gateway's marks lag."""
        step_ms = round(self.config.step_s * 1000)
        begin_ms = self.played.played_ms
        while not self.stopped():
            start_ms, now_ms = self.played.played_ms, SYSTEM_CLOCK.now_ms()
            end_ms = min(start_ms + ROUND_MS, now_ms // step_ms * step_ms)
            if end_ms - start_ms < step_ms:
                break
            self.player.feed(start_ms, end_ms, step_ms, chatter=end_ms > now_ms - CHATTER_MS)
            self.played.note(end_ms)
            self.tell(
                {"event": "playing", "share": round((end_ms - begin_ms) / (now_ms - begin_ms), 3), "t_ms": end_ms}
            )
            self._until_waiting_below(WINDOW)
        self._until_waiting_below(1)

    def _until_waiting_below(self, batches: int) -> None:
        until_s = monotonic() + SETTLE_S
        self.player.serve(0.0)
        while self.player.furthest_behind() >= batches and monotonic() < until_s and not self.stopped():
            self.player.serve(0.05)

    def _present(self) -> None:
        now_ms = SYSTEM_CLOCK.now_ms()
        self.played.note(now_ms, live_ms=now_ms)
        self.player.go_live(self._fleet(self.played.live_ms), now_ms)
        self.tell({"event": "live", "t_ms": now_ms})
        next_s = monotonic()
        while not self.stopped():
            self.player.serve(0.2)
            if monotonic() >= next_s:
                next_s = monotonic() + 1.0
                now_ms = SYSTEM_CLOCK.now_ms()
                self.player.live(now_ms)
                self.played.note(now_ms)


def _stage(config: Config) -> Stage:
    url = urlsplit(config.broker)
    host, secure = url.hostname or "127.0.0.1", url.scheme == "mqtts"
    port = url.port or (8883 if secure else 1883)
    tls = tls_context(LinkSettings(host=host, port=port, tls=secure, ca_pem=config.ca_pem))
    return Stage(host=host, port=port, tls=tls, folder=config.folder / "devices", pace_s=config.pace_s)


def read_config(path: Path) -> Config:
    """The configuration in a JSON file; unknown keys are errors.

    Raises:
        OSError, ValueError, TypeError: the file cannot be used.
    """
    held = json.loads(path.read_text("utf-8"))
    known = {one.name for one in fields(Config)}
    if not isinstance(held, dict) or held.keys() - known:
        raise ValueError(f"expected an object with keys of {', '.join(sorted(known))}")
    return Config(**held | {"folder": Path(held["folder"])})


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM, SIGINT or the end of the process that started this one; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m firmware_sim.demo", description="Plays a simulated fleet.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="JSON; see the module")
    try:
        config = read_config(parser.parse_args(argv).config)
    except (OSError, ValueError, TypeError, KeyError) as exc:
        print(f"firmware_sim.demo: {exc}", file=sys.stderr)
        return 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4 * config.devices + 100, hard)), hard))
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: signals.append(got))
    parent = os.getppid()
    Show(config, _print, lambda: bool(signals) or os.getppid() != parent).run()
    return 0


def _print(event: dict[str, object]) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main())

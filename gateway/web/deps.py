"""What the console needs of the rest of the gateway, handed in by the composition root. Nothing here is global."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Annotated, Literal, Protocol, TypeAlias, TypeVar, cast

from fastapi import Depends, Request
from sqlalchemy import Engine

from gateway.config import WebSettings
from gateway.model import Episode, Forecast, Roster
from gateway.ports import SeriesStore
from gateway.selfwatch import Watch
from gateway.services.deadletters import Letter
from gateway.services.downlink import Order
from gateway.web.hub import Hub
from gateway.web.throttle import Throttle

T = TypeVar("T")
FRESH_MS = 2_000  # how old the counts of a large fleet may be on a page
PartState: TypeAlias = Literal["ok", "degraded", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the gateway on the page of system health: the broker, a store, the ledger, a channel."""

    name: str
    state: PartState
    detail: str = ""  # one sentence: what it is, or what is wrong and the way out
    numbers: tuple[tuple[str, str], ...] = ()  # (label, value as text)
    needed: bool = True  # whether the gateway is unready (`/readyz`) while it is down


class Replies(Protocol):
    """Takes what customers and the provider say; `services.inbound` does it. May raise GatewayError."""

    def say(self, contact_id: str, text: str) -> None:
        """A contact writes from the phones page, as though by SMS."""
        ...

    def twilio_inbound(self, url: str, params: Mapping[str, str], signature: str) -> str:
        """Twilio hands an SMS over; the TwiML to answer with. Raises Refused `bad_signature`."""
        ...

    def twilio_status(self, url: str, params: Mapping[str, str], signature: str) -> None:
        """Twilio tells what became of a message. Raises Refused `bad_signature`."""
        ...


class Downlink(Protocol):
    """Speaks to devices; `services.downlink` does it."""

    async def command(self, device_id: str, name: str, args: dict[str, object] | None = None, *, actor: str) -> Order:
        """Sign and send a command. Raises NotFound `device`, Refused `no_command_key`, TryLater `broker_away`."""
        ...

    async def desire(self, device_id: str, settings: dict[str, object], *, actor: str) -> int:
        """Keep and send desired settings; their version. Raises NotFound `device`, TryLater `broker_away`."""
        ...

    def order(self, device_id: str, command_id: str) -> Order:
        """A command that was sent. Raises NotFound `command`."""
        ...

    def recent(self, device_id: str) -> Sequence[Order]:
        """Commands of a device, newest first."""
        ...


def no_parts() -> Sequence[Part]:
    """For a console without a gateway behind it."""
    return ()


def no_episodes(device_id: str) -> Sequence[Episode]:
    """For a console without detection behind it: what tickets hold is shown all the same."""
    return ()


def no_forecasts(device_id: str) -> Sequence[Forecast]:
    """For a console without prognosis behind it."""
    return ()


def no_letters(limit: int) -> Sequence[Letter]:
    """For a console without ingest behind it."""
    return ()


@dataclass(slots=True)
class Memo:
    """Values that many open pages ask for at once, kept for a moment."""

    _held: dict[str, tuple[int, object]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, name: str, make: Callable[[], T], now_ms: int) -> T:
        """The value made less than `FRESH_MS` ago, or a new one; only one caller makes it."""
        with self._lock:
            at_ms, value = self._held.get(name, (-FRESH_MS, None))
            if not 0 <= now_ms - at_ms < FRESH_MS:
                value = make()
                self._held[name] = (now_ms, value)
            return cast("T", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDeps:
    """All that pages and API routes use; reached through `Deps`."""

    engine: Engine  # the ledger
    store: SeriesStore
    roster: Roster
    hub: Hub
    watch: Watch
    now_ms: Callable[[], int]
    replies: Replies
    settings: WebSettings = field(default_factory=lambda: WebSettings.model_validate({}))
    parts: Callable[[], Sequence[Part]] = no_parts
    episodes: Callable[[str], Sequence[Episode]] = no_episodes  # of one device, open and recent
    forecasts: Callable[[str], Sequence[Forecast]] = no_forecasts  # of one device, as they stand
    downlink: Downlink | None = None  # None: no device can be reached from here
    resume: Callable[[str], None] | None = None  # sends through a channel again that was down, by its name
    rules: Mapping[str, str] = field(default_factory=dict)  # causes by rule, for silences; empty: any is taken
    dead_letters: Callable[[int], Sequence[Letter]] = no_letters  # the newest, at most so many
    phones: bool = True  # whether the console plays the customers' phones (no Twilio configured)
    throttle: Throttle = field(default_factory=Throttle)
    memo: Memo = field(default_factory=Memo)


def _deps(request: Request) -> WebDeps:
    return cast("WebDeps", request.app.state.deps)


Deps = Annotated[WebDeps, Depends(_deps)]

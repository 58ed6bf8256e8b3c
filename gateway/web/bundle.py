"""A diagnostics bundle as a page shows it. It comes from a device, so whatever it holds, reading it never fails."""

from __future__ import annotations

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

Lines = list[tuple[int, str, str, str]]


class Identity(BaseModel):
    """What the device says it is."""

    id: str = ""
    type: str = ""
    model: str = ""
    firmware: str = ""


class Buffer(BaseModel):
    """Its disk buffer."""

    batches: int = 0
    bytes: float = 0
    limit_bytes: float = 0
    left_h: float | None = None


class Bundle(BaseModel):
    """State and recent log lines of an agent."""

    device: Identity = Identity()
    t: int = Field(0, ge=0, le=2**52)  # device clock, Unix ms
    boot: int = 0
    reboot_reason: str = ""
    counters: dict[str, int] = {}
    buffer: Buffer = Buffer()
    last: dict[str, float] = {}
    logs: Lines = []  # (t_ms, severity, source, text)

    @property
    def tail(self) -> list[tuple[int, str, str]]:
        """Its log lines as (t_ms, severity, text), oldest first."""
        return [(t_ms, severity, f"{source}: {text}" if source else text) for t_ms, severity, source, text in self.logs]


_BUNDLE = TypeAdapter(Bundle)


def read_bundle(text: str) -> Bundle | None:
    """The bundle, or None where the text is none: it is then shown as it came."""
    try:
        bundle = _BUNDLE.validate_json(text)
    except ValidationError:
        return None
    if not all(0 <= t_ms <= 2**52 for t_ms, *_ in bundle.logs):
        return None
    return bundle

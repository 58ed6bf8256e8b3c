"""Every error the gateway raises on purpose, sorted by what the caller does next.

    GatewayError
    ├── ConfigError      the operator must edit a setting or free a resource; raised at start, never later
    ├── Refused          a well-formed item that may not come in; counted, never retried
    ├── TryLater         nothing happened; the same call may succeed after `after_s` seconds
    ├── OutcomeUnknown   it may have happened (time-out after sending); never repeat blindly
    ├── Undeliverable    this recipient can never get it (landline, opted out)
    ├── ChannelDown      our account or settings are wrong; stop the channel, tell the operator
    └── NotFound         the named thing does not exist

`code` is a stable snake_case word: a counter label, a log key and the API's error field. `edge.wire.WireError`
(bytes that are no batch) stands apart, since the agent raises it too.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all; `code` is stable, `detail` is for people and carries no personal data."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class ConfigError(GatewayError):
    """The operator must change something before the gateway can run; `detail` says what to do."""


class Refused(GatewayError):
    """A well-formed item that may not come in."""


class TryLater(GatewayError):
    """Nothing happened; the same call may succeed after `after_s` seconds."""

    def __init__(self, code: str, detail: str = "", *, after_s: float = 5.0) -> None:
        super().__init__(code, detail)
        self.after_s = after_s


class OutcomeUnknown(GatewayError):
    """The call may have taken effect; it is never repeated blindly."""


class Undeliverable(GatewayError):
    """This recipient can never get this message."""


class ChannelDown(GatewayError):
    """The account or the settings of a channel are wrong; nothing more is sent until a person acts."""


class NotFound(GatewayError):
    """The named thing does not exist."""

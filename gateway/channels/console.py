"""The console plays the customers' phones: a message handed over here shows on its phones page and nowhere else.

Numbers from +15005550001 to +15005550004 fail in the four ways a channel can, so that failures can be rehearsed
(Twilio's test credentials know such magic numbers, too).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.errors import ChannelDown, GatewayError, OutcomeUnknown, TryLater, Undeliverable
from gateway.model import Message

REHEARSED: Mapping[str, Callable[[], GatewayError]] = {
    "+15005550001": lambda: TryLater("unreachable", after_s=30),
    "+15005550002": lambda: OutcomeUnknown("no_reply"),
    "+15005550003": lambda: Undeliverable("not_mobile"),
    "+15005550004": lambda: ChannelDown("refused", "rehearsed"),
}


class ConsoleChannel:
    """A channel that delivers at once."""

    name = "console"

    def __init__(self, delivered: Callable[[str, str], None]) -> None:
        """`delivered(message id, provider id)` is told of each message, as a status callback would."""
        self.delivered = delivered

    def send(self, message: Message, *, address: str) -> str:
        """Show the message on its phone. Raises as a real channel does, for the rehearsed numbers only."""
        if address in REHEARSED:
            raise REHEARSED[address]()
        provider_id = f"console-{message.message_id}"
        self.delivered(message.message_id, provider_id)
        return provider_id

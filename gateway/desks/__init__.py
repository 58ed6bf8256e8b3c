"""Systems that hold tickets."""

from gateway.desks.builtin import BuiltinDesk, TicketBook
from gateway.desks.webhook import WebhookDesk

__all__ = ["BuiltinDesk", "TicketBook", "WebhookDesk"]

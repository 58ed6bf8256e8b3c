"""Systems that hold tickets."""

from gateway.desks.builtin import BuiltinDesk, TicketBook

__all__ = ["BuiltinDesk", "TicketBook"]

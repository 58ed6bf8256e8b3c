"""May it be sent now, what it says, and in whose language. Pure."""

from gateway.outreach.compose import Composed, Texts, compose, load_texts
from gateway.outreach.policy import Decision, Hold, Send, Skip, decide
from gateway.outreach.segment import Cost, cost

__all__ = ["Composed", "Cost", "Decision", "Hold", "Send", "Skip", "Texts", "compose", "cost", "decide", "load_texts"]

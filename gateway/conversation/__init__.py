"""What a reply means, what to answer, when to hand over to a person, and what that person must know. Pure."""

from gateway.conversation.brief import Brief, brief
from gateway.conversation.respond import Response, respond
from gateway.conversation.understand import Understanding, understand

__all__ = ["Brief", "Response", "Understanding", "brief", "respond", "understand"]

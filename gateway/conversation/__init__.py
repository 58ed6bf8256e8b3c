"""What a reply means, what to answer, when to hand over. Pure."""

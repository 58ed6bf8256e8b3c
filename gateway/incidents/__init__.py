"""Folding alerts into incidents: one cause, one incident. Pure."""

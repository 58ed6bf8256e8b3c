"""Decode and admit: bytes from devices become columns, or an error with a code. Pure."""

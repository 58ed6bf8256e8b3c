"""Public data sets turned into recorded fleets (docs/replay.md)."""

from gateway.services.importers import azure, backblaze

IMPORTERS = {"azure": azure.convert, "backblaze": backblaze.convert}
"""By name, as `beforehand import <name> SOURCE TARGET` takes it."""

__all__ = ["IMPORTERS"]

"""Decode and admit: bytes in, one sorted block out, everything refused with a code. Pure."""

from gateway.ingest.decode import decode_batch
from gateway.ingest.intake import Dead, Harvest, Intake, Limits
from gateway.ingest.mapping import PLAIN_BOOT, Mapping

__all__ = ["PLAIN_BOOT", "Dead", "Harvest", "Intake", "Limits", "Mapping", "decode_batch"]

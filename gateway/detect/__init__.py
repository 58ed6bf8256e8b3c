"""Detectors over whole fleets: blocks in, scores and episodes out. Pure."""

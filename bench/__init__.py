"""Benchmarks: speed, footprint, detection quality."""

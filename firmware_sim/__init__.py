"""Devices whose faults are known in advance, so that every claim about detection can be measured."""

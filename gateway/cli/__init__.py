"""The commands, by subject. Heavy modules are imported inside commands, so that `--help` answers at once."""

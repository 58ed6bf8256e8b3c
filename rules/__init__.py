"""The rule language and the library of rules."""

"""Spans of words that a corpus holds more than once."""

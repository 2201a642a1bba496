"""Bytes at a place: its address, and the one way to open it."""

"""Loops that run as machine code, and how they are kept."""

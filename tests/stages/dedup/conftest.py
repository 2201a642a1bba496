"""Loops in machine code are compiled by the first test that calls them, so no example has a deadline."""

from hypothesis import settings

settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")

"""Runnable recipes and the embedded demo corpus, as package data so that the wheel carries them."""

"""Translation by exemplars of other languages, over parallel text that people wrote; see `__main__.py`."""

"""Random walks over one store, held against fresh stores; see `__main__.py`."""

"""How fast `siftloom ui` answers over a store of a million documents."""

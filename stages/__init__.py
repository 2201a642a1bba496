"""The nodes, one subject a file, in the order in which data flows."""

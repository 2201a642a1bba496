"""Language models as parts of a graph: one protocol, its backends, and the nodes that use it."""

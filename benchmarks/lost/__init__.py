"""LOST: the cost of its layer, and an experiment with every control."""

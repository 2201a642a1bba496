"""The engine: what a node is, what is done, what is to do. It knows nothing of text, models or torch."""

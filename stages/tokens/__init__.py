"""Text to fixed rows of tokens."""

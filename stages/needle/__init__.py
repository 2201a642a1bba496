"""Facts hidden in long texts, and whether a model finds them."""

"""Builds the demo corpus (`python -m recipes.rebuild`). In a checkout only; the wheel carries what it made."""

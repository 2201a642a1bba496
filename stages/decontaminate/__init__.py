"""Passages of evaluation sets in training documents."""

"""Rows of tokens to trained, evaluated and exported models."""

"""Calls of tools: how right one is, and pairs of steps that a model learns from by its own mistakes."""

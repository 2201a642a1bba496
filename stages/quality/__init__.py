"""Learned quality: train a classifier, score documents with it."""

"""Rewards of answers: calibrated by prompt, transformed for the way a model will be sampled, and compared as wins."""

"""Pairs of texts that say the same, made by a model that was never taught to: all pairs of what it writes in one
context, of which critics keep few (Impossible Distillation, arXiv 2305.16635).
"""

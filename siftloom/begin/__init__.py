"""The beginning: looking at a user's files, and recipes written for them."""

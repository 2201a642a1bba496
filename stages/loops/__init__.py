"""Loops that numba compiles. Nothing else imports numba, so importing a file of this package does."""

"""Rules that score and remove documents."""

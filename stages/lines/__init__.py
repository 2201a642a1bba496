"""Lines and paragraphs that a corpus repeats."""

"""Training objectives beside plain cross-entropy: token losses, masks of tokens, and the pace of a curriculum."""

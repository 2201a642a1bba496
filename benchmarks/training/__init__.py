"""Training against its peers, and against its own arithmetic."""

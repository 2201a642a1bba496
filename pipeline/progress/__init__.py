"""What a watcher of a run sees: events, what is remembered of them, and how they are shown and kept."""

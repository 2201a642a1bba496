"""Raw files to base shards."""

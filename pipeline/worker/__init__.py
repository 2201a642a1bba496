"""What a worker does: one shard through the phases of a pass, or one keyed task."""

"""What a store holds: objects, receipts, leases, sources, rows, run records."""

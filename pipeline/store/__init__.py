"""What lies in a store: objects, receipts, leases, sources, rows, run records."""

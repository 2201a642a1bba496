"""What is known of a run: receipts, manifests, leases, records of runs, and the rows that they lead to."""

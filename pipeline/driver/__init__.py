"""What decides: plan, schedule, execution, commit, progress."""

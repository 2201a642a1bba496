"""What decides: plan, schedule, execution, commit."""

"""Duplicates among documents: equal ones, resembling ones, one address fetched twice."""

"""The only package that imports ray: sessions, passes, keyed tasks, jobs."""

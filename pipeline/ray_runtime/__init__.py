"""The only room that imports ray: sessions, passes, keyed tasks, jobs."""

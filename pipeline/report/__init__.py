"""The report of a run: one self-contained HTML page. `data` in, `page.render` out; `collect` reads a run of the store."""

"""The report of a run, one self-contained HTML page: `data` in, `page.render` out, `collect` reads the store."""

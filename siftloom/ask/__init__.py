"""Questions to finished runs: why a document went, what another threshold would do, how two runs differ."""

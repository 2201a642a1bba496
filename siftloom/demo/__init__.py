"""The demo: the whole main job on the embedded corpus, with the truth about its planted faults beside it."""

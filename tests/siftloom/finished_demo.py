"""The demo as this room's tests run it: all of its corpus and nodes, four training steps instead of sixty."""

TRAININGS = ("dense", "lost", "lost_reweighted", "dense_unfiltered")
FEW = [f"{name}.{change}" for name in TRAININGS for change in ("steps=4", "batch_rows=4", "log_interval=1")]
FEW += [f"eval_{name}.sample_tokens=8" for name in TRAININGS]

"""Data-Juicer: `python data_juicer_run.py TEXT.parquet OUT.npy`. Its Ray BTS deduplicator on two CPUs of a local Ray.

CPU after `ray.init`, over the whole process tree; the final write is part of its stage.
"""

import json
import os
import sys
import tempfile

import numpy as np
import pyarrow.parquet as pq
from process_tree import Watch


def main(source: str, out: str) -> None:
    import ray

    folder = tempfile.mkdtemp(prefix="data-juicer-")
    os.environ["DATA_JUICER_CACHE_HOME"] = folder
    os.makedirs(f"{folder}/in")
    os.symlink(os.path.abspath(source), f"{folder}/in/text.parquet")
    with open(f"{folder}/dedup.yaml", "w") as file:
        file.write(
            f"project_name: dedup\nexecutor_type: ray\nray_address: local\ndataset_path: {folder}/in\n"
            f"export_path: {folder}/out\nexport_type: parquet\nwork_dir: {folder}/work\nopen_tracer: false\n"
            "process:\n  - ray_bts_minhash_deduplicator:\n"
            "      tokenization: space\n      window_size: 5\n      lowercase: true\n      num_permutations: 112\n"
            "      num_bands: 14\n      num_rows_per_band: 8\n      union_find_parallel_num: 2\n"
        )
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    watch = Watch()
    watch.start()
    from data_juicer.config import init_configs
    from data_juicer.core.executor.ray_executor import RayExecutor

    RayExecutor(init_configs(["--config", f"{folder}/dedup.yaml"])).run()
    watch.stop()
    kept = np.zeros(pq.read_metadata(source).num_rows, bool)
    for path in sorted(os.listdir(f"{folder}/out")):
        if path.endswith(".parquet"):
            kept[pq.read_table(f"{folder}/out/{path}", columns=["id"])["id"].to_numpy()] = True
    np.save(out, kept)
    print(json.dumps({"signature_cpu": None, "after_init_cpu": watch.cpu}))


if __name__ == "__main__":
    main(*sys.argv[1:])

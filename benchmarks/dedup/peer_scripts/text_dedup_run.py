"""text-dedup: `python text_dedup_run.py TEXT.parquet OUT.npy`. Its command, in a folder of its own."""

import json
import os
import sys
import tempfile

import numpy as np


def main(source: str, out: str) -> None:
    folder = tempfile.mkdtemp(prefix="text-dedup-")
    os.environ["HF_HOME"] = folder
    os.environ["HF_HUB_OFFLINE"] = "1"
    import datasets
    import pyarrow.parquet as pq
    from text_dedup import minhash

    data = datasets.Dataset(pq.read_table(source, columns=["id", "text"]))
    data.save_to_disk(f"{folder}/in")
    arguments = (
        f"--path {folder}/in --local --cache_dir {folder}/cache --output {folder}/out --column text "
        "--ngram 5 --num_perm 112 --b 14 --r 8 --hash_func xxh3 --hash_bits 32 "
        "--min_length 0 --num_proc 1 --batch_size 10000"
    )
    minhash.main(arguments.split(), standalone_mode=False)
    kept = np.zeros(len(data), bool)
    kept[datasets.load_from_disk(f"{folder}/out")["id"][:]] = True
    np.save(out, kept)
    print(json.dumps({"signature_cpu": None}))


if __name__ == "__main__":
    main(*sys.argv[1:])

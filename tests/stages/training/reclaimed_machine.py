"""A driver of a test: a cluster of two machines, one of which is announced as reclaimed and goes while a pair of
workers trains.

    python -m tests.stages.training.reclaimed_machine JOB

JOB is a pickled `Training` that saves no checkpoint by itself within the time of the test. A process of its own, since
the suite's Ray is one machine.
"""

import json
import os
import pickle
import sys
import tempfile
import threading
import time
from pathlib import Path

from pipeline.ray_runtime.session import quiet_environment
from stages.training.checkpoint import PROGRESS, Saver
from stages.training.ray_trainer import fit
from tests.stages.training.rows import changed


def wait_until(holds, fitting):
    while fitting.is_alive() and not holds():
        time.sleep(0.1)
    assert fitting.is_alive(), "the run ended before it could be disturbed"


def main(job):
    quiet_environment()
    import ray
    from ray.cluster_utils import Cluster
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    files = Saver(job.scratch)
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        # a folder of its own, or the next Ray that starts on this machine would join this one
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "temp_dir": folder})
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(
            address=cluster.address,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}},
        )
        fitting = threading.Thread(target=fit, args=(changed(job, workers=(1, 2), max_failures=3), "run"))
        fitting.start()
        wait_until(lambda: files.scratch.exists(PROGRESS), fitting)
        before = json.loads(files.scratch.read(PROGRESS))
        reason, deadline = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"), int(time.time() * 1000) + 20_000
        assert ray._raylet.GcsClient(address=cluster.address).drain_node(node.node_id, reason, "", deadline)[0]
        wait_until(files.whole, fitting)
        cluster.remove_node(node, allow_graceful=False)
        fitting.join()
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps(before))


if __name__ == "__main__":
    main(pickle.loads(Path(sys.argv[1]).read_bytes()))

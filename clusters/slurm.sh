#!/usr/bin/env bash
# One run on machines that Slurm lends: a Ray cluster for the time of the job, the driver on its first node.
#
#   sbatch clusters/slurm.sh mine.yaml --store /shared/runs     # everything after the file goes to `siftloom run`
#
# Type it in the checkout, on a file system that every node mounts: the nodes use its .venv (`make demo` makes it), so head
# and workers cannot differ in a version. SIFTLOOM_VENV names another one. The store must be on such a file system too.
#
# Before the time is up the run drains, and the job goes back into the queue: the same command goes on where it stopped.
#
# Why not `ray symmetric-run`: in Ray 2.60 it gives workers 30 s to join, ends with `ray stop`, which kills every Ray of the
# user on a node that two jobs may share, and exits 0 when Ray did not start.

#SBATCH --job-name=siftloom
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=0
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
# For training on GPUs:
# #SBATCH --gpus-per-node=4

set -euo pipefail

if [[ $# -eq 0 ]]; then
  echo "usage: sbatch clusters/slurm.sh RECIPE.yaml --store SHARED_FOLDER [options of siftloom run]" >&2
  exit 2
fi

# USR1 comes from --signal, so it means "time is nearly up"; TERM comes from people and from preemption, which requeues itself.
# Either may come while Ray still starts.
child=
requeue=
signalled=
pass_on() {
  signalled=yes
  woken=yes
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}
trap 'requeue=yes; pass_on' USR1
trap pass_on TERM

# Waits for a child, whose exit code is in `code` then. A signal is passed on to it, and ends `wait` before the child has
# ended: then wait again.
attend() {
  child=$1
  [[ -z $signalled ]] || pass_on
  while
    woken=
    code=0
    wait "$child" || code=$?
    [[ -n $woken ]]
  do :; done
  child=
}

# Workers run the `python` that is first on the PATH of the process that started Ray.
venv=${SIFTLOOM_VENV:-$PWD/.venv}
export PATH="$venv/bin:$PATH"

# Everybody who can log in to a node could send tasks to an open Ray. The token lives as long as the job, and srun hands it
# to every node with the rest of the environment.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
# A name may resolve to 127.0.1.1 on its own host, so the head is asked. With several networks say which in SIFTLOOM_HEAD_IP.
ip=${SIFTLOOM_HEAD_IP:-$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname -I | awk '{print $1}')}
# above Ray's worker ports (10002-19999); from the job's number, so that what an ended job left behind is not in the way
port=$((20000 + SLURM_JOB_ID % 10000))
address=$ip:$port

# Slurm binds processes to the CPUs of the job, but Ray would count those of the machine. Documents never enter the object
# store: 1 GB of it is plenty. A folder of its own, with a short name: socket paths end at 107 bytes.
common=(--num-cpus="$SLURM_CPUS_PER_TASK" --object-store-memory=1000000000 --temp-dir="/tmp/ray-$SLURM_JOB_ID"
        --disable-usage-stats --block)
step=(srun --ntasks-per-node=1 --cpus-per-task="$SLURM_CPUS_PER_TASK")

# --block ties Ray to its step: when the step ends, by us or by Slurm, nothing of this Ray is left on the node, and nobody
# else's is touched. So `ray stop` is never needed. A node that is told to end would first wait 30 s for its tasks to leave;
# when steps end here, no task is left.
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0
steps=()
end_steps() {
  if [[ ${#steps[@]} -gt 0 ]]; then
    kill "${steps[@]}" 2>/dev/null || true
    wait "${steps[@]}" 2>/dev/null || true
  fi
}
trap end_steps EXIT

"${step[@]}" --nodes=1 --ntasks=1 --nodelist="$head" \
  ray start --head --node-ip-address="$ip" --port="$port" --include-dashboard=false "${common[@]}" &
steps+=($!)
if [[ ${#nodes[@]} -gt 1 ]]; then
  others=$(IFS=,; echo "${nodes[*]:1}")
  "${step[@]}" --nodes=$((${#nodes[@]} - 1)) --ntasks=$((${#nodes[@]} - 1)) --nodelist="$others" \
    ray start --address="$address" "${common[@]}" &
  steps+=($!)
fi

# A run sizes its passes by the CPUs that are there when it begins, so it begins when all nodes have joined.
python - "$address" "${#nodes[@]}" "${SIFTLOOM_START_SECONDS:-600}" "${steps[@]}" <<'PYTHON' &
import os
import sys
import time

import ray

address, wanted, seconds, *steps = sys.argv[1:]
deadline = time.monotonic() + float(seconds)
joined = 0
while joined < int(wanted):
    if not all(os.path.exists(f"/proc/{step}") for step in steps):
        sys.exit("a step that should have started Ray has ended; see its message above")
    if time.monotonic() > deadline:
        sys.exit(f"{joined} of {wanted} nodes have joined Ray at {address} within {seconds} s")
    try:
        ray.init(address, logging_level="error", log_to_driver=False, ignore_reinit_error=True)
        joined = sum(node["Alive"] for node in ray.nodes())
    except ConnectionError:
        pass  # the head is not there yet
    time.sleep(1)
PYTHON

attend $!
if [[ -n $signalled ]]; then
  code=143
elif [[ $code -eq 0 ]]; then
  RAY_ADDRESS=$address python -m siftloom run "$@" &
  attend $!
fi

# 143: stopped by the signal, with work left. A job whose time is too short for a single task would come back for ever,
# hence the limit.
if [[ -n $requeue && $code -eq 143 && ${SLURM_RESTART_COUNT:-0} -lt ${SIFTLOOM_RESTARTS:-50} ]]; then
  echo "the time is nearly up; back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"

#!/usr/bin/env bash
# Slurm: one Ray node per machine of the allocation, the run on the first one. The store lies on the shared file system.
#   sbatch clusters/slurm.sh recipes/demo.yaml /shared/runs
# When the time limit comes, Slurm's SIGTERM lets the run save and stop; the same line goes on with it.
#SBATCH --job-name=siftloom
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=64G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
set -euo pipefail

recipe=${1:?usage: sbatch slurm.sh RECIPE STORE}
store=${2:?usage: sbatch slurm.sh RECIPE STORE}
cd "${SLURM_SUBMIT_DIR:-.}"
# shellcheck disable=SC1091  # the environment is made by `make`
source .venv/bin/activate

export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$PWD/.ray-token-${SLURM_JOB_ID}"
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts[0]}
port=$((20000 + SLURM_JOB_ID % 10000)) # jobs that share a machine do not share a port
address="$head:$port"
steps=()

finish() {
  if ((${#steps[@]})); then
    kill "${steps[@]}" 2>/dev/null || true
    wait "${steps[@]}" 2>/dev/null || true
  fi
  rm -f "$RAY_AUTH_TOKEN_PATH"
}
trap finish EXIT

srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" \
  ray start --head --node-ip-address="$head" --port="$port" --include-dashboard=false --disable-usage-stats \
  --num-cpus="$SLURM_CPUS_PER_TASK" --block &
steps+=("$!")

until ray status --address "$address" > /dev/null 2>&1; do
  kill -0 "${steps[0]}" 2>/dev/null || { echo "the head on $head did not start" >&2; exit 1; }
  sleep 2
done

if ((${#hosts[@]} > 1)); then
  others=$(IFS=,; echo "${hosts[*]:1}")
  srun --nodes=$((${#hosts[@]} - 1)) --ntasks=$((${#hosts[@]} - 1)) --overlap --nodelist="$others" \
    ray start --address="$address" --disable-usage-stats --num-cpus="$SLURM_CPUS_PER_TASK" --block &
  steps+=("$!")
fi

# The batch script gets the signal; the run must get it too, and be waited for.
python -m siftloom run "$recipe" --store "$store" --address "$address" &
run=$!
trap 'kill -TERM "$run"' TERM INT
code=0
wait "$run" || code=$?
while kill -0 "$run" 2>/dev/null; do
  code=0
  wait "$run" || code=$?
done
exit "$code"

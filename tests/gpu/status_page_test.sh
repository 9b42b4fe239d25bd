#!/usr/bin/env bash
# docs/gpu_status.md has a line for each row of the GPU check, and no other.
set -euo pipefail
cd tests/gpu
rows() { sed -n 's/^| \([a-z0-9_]*\) |.*/\1/p' | grep -v '^row$' | sort; }
listed="$(./run.sh --list --markdown | rows)"
described="$(rows <../../docs/gpu_status.md)"
if [[ -z "$listed" || "$listed" != "$described" ]]; then
  echo "run.sh --list --markdown (<) and docs/gpu_status.md (>) differ:"
  diff <(echo "$listed") <(echo "$described")
  exit 1
fi

#!/usr/bin/env bash
# Runs every check that needs a GPU, from a folder that pack.sh made, on a machine with an NVIDIA driver, CUDA's
# libraries and python3 (with PyTorch, for what is compared with it). See run.sh --help.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
command -v python3 >/dev/null || { echo "run.sh: there is no python3 here"; exit 2; }
exec python3 -B "$here/check/main.py" "$@"

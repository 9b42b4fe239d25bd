#!/usr/bin/env bash
# nvcc compiles these templates to a launch on the GPU, g++ to a loop on the CPU.  If both compile one for the same
# body, under one name, the linker keeps either: no name may come from both kinds of object.
set -euo pipefail
export LC_ALL=C
launchers='ColumnSums|ImageSums|SumByBlocks|OrderedSum|ForTiles|LaunchTiles|ForBlocks|ForRows|ParallelFor'

# Lines "NAME nvcc" or "NAME gxx", of functions that other objects see.
names() {
  find -L . -name '*.o' | while read -r object; do
    kind=gxx
    [[ "$object" == */_nvcc/* ]] && kind=nvcc
    nm --defined-only --extern-only "$object" | awk -v kind="$kind" '$2 ~ /[WTV]/ {print $3, kind}'
  done | grep -E "^_ZN7trireme[^ ]*($launchers)" | grep -v HostParallelFor | sort -u
}

all="$(names)"
count() { grep -c " $1\$" <<<"$all" || true; }
echo "$(count nvcc) names from nvcc, $(count gxx) from g++"
if [[ "${1:-}" == --expect-nvcc ]] && (($(count nvcc) == 0)); then
  echo "no object of nvcc was looked at"
  exit 1
fi
both="$(cut -d' ' -f1 <<<"$all" | uniq -d)"
if [[ -n "$both" ]]; then
  echo "compiled by nvcc and by g++ (give the body an unnamed namespace):"
  c++filt <<<"$both"
  exit 1
fi

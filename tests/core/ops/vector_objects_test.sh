#!/usr/bin/env bash
# Of a function that several objects have under one name the linker keeps any: none that is compiled for AVX-512 may
# have such, or a CPU without it would run it.
set -euo pipefail
objects=0
while read -r object; do
  objects=$((objects + 1))
  # Constants' values, which -c dbg has as functions, know no vectors.
  if shared="$(nm -C --defined-only "$object" | grep -E ' [WVu] ' | grep -v std::integral_constant)"; then
    echo "$object has what other objects may have too, compiled for AVX-512:"
    echo "$shared"
    exit 1
  fi
  nm -C "$object" | grep -q 'KernelsAvx512' || { echo "$object does not have the kernels"; exit 1; }
done < <(find -L . -path '*_avx512/*.o')
[[ $objects -eq 3 ]] || { echo "$objects objects, not 3"; exit 1; }

#!/usr/bin/env bash
# Builds for CUDA and collects in one folder all that run.sh needs on a machine with an NVIDIA driver, CUDA's libraries
# and python3, but without Bazel and Debian's packages:
#
#   tests/gpu/pack.sh FOLDER [--archive]     then, on that machine: FOLDER/run.sh
#
# --archive writes FOLDER.tar.xz too. The folder replaces an older pack; it is at most 60 MB. It needs x86-64 with
# glibc 2.36 (Debian 12, Ubuntu 24.04) and a GPU of compute capability 9.0 or newer (TRIREME_PACK_ARCHS=80,90: others).
set -euo pipefail

readonly most_megabytes=60
readonly newest_glibc=2.36
# Files above this many bytes travel compressed; run.sh unpacks them.
readonly compress_above=1000000

die() { echo "pack.sh: $*" >&2; exit 1; }

(($# >= 1)) || die "usage: tests/gpu/pack.sh FOLDER [--archive]"
folder="$(realpath -m "$1")"
archive="${2:-}"
[[ -z "$archive" || "$archive" == --archive ]] || die "unknown option $archive"
[[ ! -e "$folder" || -f "$folder/MANIFEST.json" || -z "$(ls -A "$folder")" ]] || die "$folder exists and is no pack"

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
archs="${TRIREME_PACK_ARCHS:-90}"

# Every device test has to be in the one binary.
tests="$(./bazelw query --noshow_progress 'attr(tags, device_cases, //tests/...)' 2>/dev/null | sort)"
bundled="$(./bazelw query --noshow_progress 'labels(deps, //tests/gpu:device_tests) except @system//:gtest_main' 2>/dev/null | sort)"
[[ -n "$tests" && "$tests" == "$bundled" ]] ||
  die "//tests/gpu:device_tests lacks $(comm -23 <(echo "$tests") <(echo "$bundled") | tr '\n' ' ')"

programs=(//tests/gpu:device_tests //tools:train //tools:eval //tools/bench:step)
faults=(//tests/gpu:old_driver/libcuda.so.1 //tests/gpu:libvanishing_device.so)
./bazelw build --config=cuda "--//tools/build_defs:cuda_archs=$archs" "${programs[@]}" "${faults[@]}"

rm -rf "$folder"
mkdir -p "$folder"/{bin/old_driver,bin/vanishing_device,lib/fallback,configs/check}
for program in "${programs[@]}"; do
  path="bazel-bin/${program#//}"
  install -m 755 "$(readlink -f "${path/://}")" "$folder/bin/"
done
install -m 755 "$(readlink -f bazel-bin/tests/gpu/old_driver/libcuda.so.1)" "$folder/bin/old_driver/"
install -m 755 "$(readlink -f bazel-bin/tests/gpu/libvanishing_device.so)" "$folder/bin/vanishing_device/"
strip "$folder"/bin/* 2>/dev/null || true

# The libraries that a bare machine lacks. Of the C library nothing is carried, and nothing of CUDA.
for program in "$folder"/bin/*; do
  if [[ -f "$program" ]]; then ldd "$program"; fi
done | awk '$2 == "=>" {print $1, $3}' | sort -u >"$folder/lib/needed"
if grep -q ' not$' "$folder/lib/needed"; then die "not found: $(grep ' not$' "$folder/lib/needed")"; fi
while read -r name path; do
  case "$name" in
    libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.* | libresolv.so.* | libutil.so.* | linux-vdso*) ;;
    libcu* | libnccl* | libnv*) ;;
    libstdc++.so.* | libgcc_s.so.*) install -m 644 "$(readlink -f "$path")" "$folder/lib/fallback/$name" ;;
    *) install -m 644 "$(readlink -f "$path")" "$folder/lib/$name" ;;
  esac
done <"$folder/lib/needed"
rm "$folder/lib/needed"

too_new="$(for file in "$folder"/bin/* "$folder"/lib/*.so* "$folder"/lib/fallback/*; do
  [[ ! -f "$file" ]] || objdump -T "$file" | grep -o 'GLIBC_[0-9.]*' | sort -u |
    awk -F_ -v newest="$newest_glibc" -v file="$(basename "$file")" \
      '{split($2, a, "."); split(newest, b, "."); if (a[1] > b[1] || a[2] > b[2]) print file " " $0}'
done || true)"
[[ -z "$too_new" ]] || die "newer than glibc $newest_glibc: $too_new"

find "$folder/lib" "$folder/bin" -maxdepth 1 -type f -size "+${compress_above}c" -exec xz -6 -T2 {} +

install -m 755 tests/gpu/run.sh "$folder/"
mkdir "$folder/check"
install -m 644 tests/gpu/check/*.py "$folder/check/"
install -m 644 tools/configs/*.pbtxt "$folder/configs/"
install -m 644 tests/gpu/configs/*.pbtxt "$folder/configs/check/"
# All sources, should something have to be built anew with the other machine's nvcc.
git archive --format=tar HEAD | xz -6 >"$folder/source.tar.xz"

commit="$(git rev-parse --short HEAD)"
[[ -z "$(git status --porcelain)" ]] || commit+=", with changes"
size="$(du -sb --apparent-size "$folder" | cut -f1)"
cat >"$folder/MANIFEST.json" <<END
{"commit": "$commit", "compute_capabilities": "$archs", "bytes": $size}
END
echo "$folder: $((size / 1000000)) MB; the largest:"
(cd "$folder" && find . -type f -printf '%s %p\n' | sort -rn | head -6 | awk '{printf "  %6.1f MB  %s\n", $1 / 1e6, $2}')
((size <= most_megabytes * 1000000)) || die "more than $most_megabytes MB"

if [[ -n "$archive" ]]; then
  tar -C "$(dirname "$folder")" --sort=name --owner=0 --group=0 --numeric-owner -cJf "$folder.tar.xz" "$(basename "$folder")"
  echo "$folder.tar.xz: $(($(stat -c %s "$folder.tar.xz") / 1000000)) MB"
fi

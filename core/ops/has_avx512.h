// Which of the objects that vector_kernels() makes this CPU can run. Private to core/ops.
#ifndef TRIREME_CORE_OPS_HAS_AVX512_H_
#define TRIREME_CORE_OPS_HAS_AVX512_H_

namespace trireme::ops {

// Whether it has what -march=x86-64-v4 means.
inline bool HasAvx512() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl");
  return has;
}

}  // namespace trireme::ops

#endif  // TRIREME_CORE_OPS_HAS_AVX512_H_

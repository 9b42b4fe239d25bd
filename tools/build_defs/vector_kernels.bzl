"""vector_kernels: CPU code that is compiled for several kinds of CPU, of which a process picks one."""

def vector_kernels(name, srcs, hdrs, deps, visibility = None):
    """A cc_library whose sources are compiled for each kind of CPU.

    What they define with TRIREME_KERNELS(NAME) (core/ops/vectors.h) is there as NAME, for every CPU that the build is
    for, and as NAMEAvx512. They must emit no function that another object may have too: see vectors.h.
    """
    for suffix, of, copts in [("", "", []), ("_avx512", "Avx512", ["-march=x86-64-v4"])]:
        native.cc_library(
            name = name + "_objects" + suffix,
            srcs = srcs + hdrs,
            copts = ["-O3"] + copts,
            local_defines = ["TRIREME_KERNELS_OF=" + of],
            # For tests of the objects themselves.
            visibility = visibility or ["//visibility:private"],
            deps = deps,
        )
    native.cc_library(
        name = name,
        hdrs = hdrs,
        visibility = visibility,
        deps = deps + [name + "_objects", name + "_objects_avx512"],
    )

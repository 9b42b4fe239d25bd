"""device_test: a cc_test whose cases also run on a GPU, in the one binary of //tests/gpu."""

load(":cuda.bzl", "cuda_library")

def device_test(name, srcs, deps, kernels = False, copts = [], local_defines = [], **kwargs):
    """A cc_test, and NAME_cases, a library of its cases for //tests/gpu:device_tests, which lists it.

    One binary holds the cases of all device tests, so suites need names of their own.

    Args:
      kernels: whether srcs call ParallelFor, and so are compiled by nvcc under --config=cuda. nvcc takes no
        device lambda in the body of a TEST, which is a private member function: use free functions.
      **kwargs: of the cc_test.
    """
    library = cuda_library if kernels else native.cc_library
    library(
        name = name + "_cases",
        testonly = True,
        srcs = srcs,
        alwayslink = True,
        copts = copts,
        local_defines = local_defines,
        tags = ["device_cases"],
        visibility = ["//tests:__subpackages__"],
        deps = deps,
    )
    native.cc_test(
        name = name,
        deps = [":%s_cases" % name],
        **kwargs
    )

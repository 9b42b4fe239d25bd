"""The repositories which a WORKSPACE needs to build Trireme or a plugin of it."""

load("//tools/build_defs:cuda_repository.bzl", "cuda_repository")
load("//tools/build_defs:shims.bzl", "bazel_shims")
load("//tools/build_defs:system_libs.bzl", "system_libs")

def trireme_repositories():
    """Declares @system, @cuda and what Bazel would download otherwise."""
    bazel_shims()
    system_libs(name = "system")
    cuda_repository(name = "cuda")

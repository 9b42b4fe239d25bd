"""@system: libraries from the distribution's packages.

Every entry of LIBS becomes a target @system//:NAME.  One which is not installed
becomes a target that fails when (and only when) something depends on it, with
the name of the apt package to install.
"""

def _lib(apt, header, libs = [], deps = [], as_needed = False):
    """apt: the package to suggest; header: one header that must be there;
    libs: what to link; as_needed: link only those of libs which are used."""
    return struct(apt = apt, header = header, libs = libs, deps = deps, as_needed = as_needed)

# All of Abseil except flags and random, in the order that static libraries
# would need.
_ABSL = ["absl_" + name for name in [
    "statusor",
    "status",
    "strerror",
    "str_format_internal",
    "cord",
    "cordz_info",
    "cord_internal",
    "cordz_functions",
    "cordz_handle",
    "hash",
    "city",
    "bad_variant_access",
    "low_level_hash",
    "raw_hash_set",
    "hashtablez_sampler",
    "exponential_biased",
    "synchronization",
    "graphcycles_internal",
    "failure_signal_handler",
    "examine_stack",
    "stacktrace",
    "symbolize",
    "debugging_internal",
    "demangle_internal",
    "malloc_internal",
    "time",
    "civil_time",
    "strings",
    "strings_internal",
    "base",
    "spinlock_wait",
    "int128",
    "time_zone",
    "throw_delegate",
    "bad_optional_access",
    "raw_logging_internal",
    "log_severity",
]]

LIBS = {
    "absl": _lib("libabsl-dev", "absl/status/statusor.h", _ABSL, deps = ["pthread"], as_needed = True),
    "benchmark": _lib("libbenchmark-dev", "benchmark/benchmark.h", ["benchmark"], deps = ["pthread"]),
    "crypto": _lib("libssl-dev", "openssl/hmac.h", ["crypto"]),
    "dl": _lib("libc6-dev", "dlfcn.h", ["dl"]),
    "dnnl": _lib("libdnnl-dev", "oneapi/dnnl/dnnl.hpp", ["dnnl"], deps = ["openmp"]),
    "gflags": _lib("libgflags-dev", "gflags/gflags.h", ["gflags"]),
    "glog": _lib("libgoogle-glog-dev", "glog/logging.h", ["glog"], deps = ["gflags"]),
    "gloo": _lib("libgloo-dev", "gloo/context.h", ["gloo"], deps = ["pthread"]),
    "gmock": _lib("libgmock-dev", "gmock/gmock.h", ["gmock"], deps = ["gtest"]),
    "gtest": _lib("libgtest-dev", "gtest/gtest.h", ["gtest"], deps = ["pthread"]),
    "gtest_main": _lib("libgtest-dev", "gtest/gtest.h", ["gtest_main"], deps = ["gtest"]),
    "json": _lib("nlohmann-json3-dev", "nlohmann/json.hpp"),
    "png": _lib("libpng-dev", "png.h", ["png"]),
    "protobuf": _lib("libprotobuf-dev", "google/protobuf/message.h", ["protobuf"], deps = ["pthread"]),
    "pthread": _lib("libc6-dev", "pthread.h", ["pthread"]),
    "pugixml": _lib("libpugixml-dev", "pugixml.hpp", ["pugixml"]),
    "simdjson": _lib("libsimdjson-dev", "simdjson.h", ["simdjson"]),
    "turbojpeg": _lib("libturbojpeg0-dev", "turbojpeg.h", ["turbojpeg"]),
    "zlib": _lib("zlib1g-dev", "zlib.h", ["z"]),
}

# proto_library targets @system//:NAME_proto for .proto files of libprotobuf.
WELL_KNOWN_PROTOS = [
    "any",
    "descriptor",
    "duration",
    "empty",
    "field_mask",
    "struct",
    "timestamp",
    "wrappers",
]

_INCLUDE_DIRS = [
    "/usr/local/include",
    "/usr/include",
    "/usr/include/x86_64-linux-gnu",
    "/usr/include/aarch64-linux-gnu",
]

_LIB_DIRS = [
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib",
]

def _find(ctx, dirs, *names):
    for d in dirs:
        for name in names:
            path = ctx.path(d + "/" + name)
            if path.exists:
                return path
    return None

def _link_flags(lib):
    flags = ["-l" + l for l in lib.libs]
    if lib.as_needed:
        flags = ["-Wl,--push-state,--as-needed"] + flags + ["-Wl,--pop-state"]
    return flags

def _system_library(ctx, name, lib):
    missing = []
    if not _find(ctx, _INCLUDE_DIRS, lib.header):
        missing.append("<%s>" % lib.header)
    for l in lib.libs:
        if not _find(ctx, _LIB_DIRS, "lib%s.so" % l, "lib%s.a" % l):
            missing.append("lib" + l)
    return "system_library(name = %r, link_flags = %r, deps = %r, missing = %r, apt = %r)" % (
        name,
        _link_flags(lib),
        lib.deps,
        missing,
        lib.apt,
    )

def _protoc(ctx):
    path = ctx.which("protoc")
    if not path:
        return 'missing_tool(name = "protoc", program = "protoc", apt = "protobuf-compiler")'
    ctx.symlink(path, "bin/protoc")
    return 'filegroup(name = "protoc", srcs = ["bin/protoc"])'

def _well_known_proto(ctx, name):
    file = "google/protobuf/%s.proto" % name
    path = _find(ctx, _INCLUDE_DIRS, file)
    if path:
        ctx.symlink(path, file)
    else:
        ctx.file(file, 'syntax = "proto3";\nerror: apt-get install libprotobuf-dev\n')
    return "proto_library(name = %r, srcs = [%r])" % (name + "_proto", file)

def _system_libs_impl(ctx):
    build = [
        'load("@trireme//tools/build_defs:system_library.bzl", "missing_tool", "system_library")',
        'package(default_visibility = ["//visibility:public"])',
        # The compiler brings libgomp and knows where it is.  Not -fopenmp:
        # clang would link a second OpenMP runtime beside oneDNN's.
        'system_library(name = "openmp", link_flags = ["-lgomp"])',
    ]
    build += [_system_library(ctx, name, lib) for name, lib in LIBS.items()]
    build.append(_protoc(ctx))
    build += [_well_known_proto(ctx, name) for name in WELL_KNOWN_PROTOS]
    ctx.file("BUILD", "\n".join(build) + "\n", executable = False)

system_libs = repository_rule(
    implementation = _system_libs_impl,
    configure = True,
    local = True,  # look again when the server starts: apt may have added something
)

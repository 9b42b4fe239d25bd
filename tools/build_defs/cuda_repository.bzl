"""@cuda: the CUDA toolkit at $CUDA_HOME or /usr/local/cuda, or empty stubs.

The stubs are there so that a build without CUDA needs no toolkit: BUILD files
mention @cuda in branches of select() which are not taken.
"""

# target: (header, libraries)
_LIBS = {
    "cublas": ("cublas_v2.h", ["cublas", "cublasLt"]),
    "cudart": ("cuda_runtime_api.h", ["cudart"]),
    "cudnn": ("cudnn.h", ["cudnn"]),
    "curand": ("curand.h", ["curand"]),
    "nccl": ("nccl.h", ["nccl"]),
    "nvtx": ("nvtx3/nvToolsExt.h", []),
}

def _find_home(ctx):
    for candidate in [ctx.os.environ.get("CUDA_HOME", ""), "/usr/local/cuda"]:
        if candidate and ctx.path(candidate + "/bin/nvcc").exists:
            return str(ctx.path(candidate).realpath)
    return ""

def _version(ctx, home):
    result = ctx.execute([home + "/bin/nvcc", "--version"])
    if result.return_code != 0:
        fail("%s/bin/nvcc does not run: %s" % (home, result.stderr))
    return result.stdout.split("release ")[1].split(",")[0]

def _gpu_archs(ctx):
    """["90"] for a machine with an H100; [] for one without GPUs."""
    nvidia_smi = ctx.which("nvidia-smi")
    if not nvidia_smi:
        return []
    result = ctx.execute([nvidia_smi, "--query-gpu=compute_cap", "--format=csv,noheader"])
    if result.return_code != 0:
        return []
    archs = [line.strip().replace(".", "") for line in result.stdout.splitlines()]
    return sorted({a: 0 for a in archs if a.isdigit()}.keys(), key = int)

def _cuda_repository_impl(ctx):
    home = _find_home(ctx)
    version = ""
    archs = []
    lib_dir = ""
    build = [
        'load("@trireme//tools/build_defs:system_library.bzl", "system_library")',
        'package(default_visibility = ["//visibility:public"])',
    ]
    if home:
        version = _version(ctx, home)
        archs = _gpu_archs(ctx)
        lib_dir = home + ("/lib64" if ctx.path(home + "/lib64").exists else "/lib")

        # Bazel refuses headers at absolute paths which are not the compiler's
        # own, so reach them through this repository.  Thrust and CUB (cccl, 1700
        # files) are left out: only nvcc reads them, and it finds them itself.
        ctx.symlink(home + "/include", "include")
        build.append('filegroup(name = "headers", srcs = glob(["include/**"], exclude = ["include/cccl/**"]))')
    for name, (header, libs) in _LIBS.items():
        missing = []
        if home and not ctx.path(home + "/include/" + header).exists:
            missing.append("<%s>" % header)
        if home:
            missing += ["lib" + l for l in libs if not ctx.path(lib_dir + "/lib%s.so" % l).exists]
        build.append("system_library(name = %r, hdrs = %r, include_dirs = %r, link_flags = %r, missing = %r, apt = %r)" % (
            name,
            [":headers"] if home else [],
            ["include"] if home else [],
            ["-L" + lib_dir, "-Wl,-rpath," + lib_dir] + ["-l" + l for l in libs] if home and libs else [],
            missing,
            "the CUDA package that holds " + name,
        ))
    ctx.file("BUILD", "\n".join(build) + "\n", executable = False)
    ctx.file(
        "defs.bzl",
        "CUDA_HOME = %r\nCUDA_VERSION = %r\nGPU_ARCHS = %r\n" % (home, version, archs),
        executable = False,
    )

cuda_repository = repository_rule(
    implementation = _cuda_repository_impl,
    configure = True,
    environ = ["CUDA_HOME"],
    local = True,
)

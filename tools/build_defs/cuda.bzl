"""cuda_library: C++ sources which nvcc compiles under --config=cuda, else g++."""

load("@cuda//:defs.bzl", "CUDA_HOME", "CUDA_VERSION", "GPU_ARCHS")

_WITH_CUDA = "@trireme//tools/build_defs:with_cuda"
_OPTIMIZED = "@trireme//tools/build_defs:optimized"

# For a cc_library which calls CUDA's libraries and has no kernels of its own:
#   cc_library(..., defines = CUDA_DEFINES, deps = [...] + cuda_deps(["cudnn"]))
CUDA_DEFINES = select({
    _WITH_CUDA: ["TRIREME_CUDA"],
    "//conditions:default": [],
})

def cuda_deps(names):
    """The targets @cuda//:NAME in a CUDA build; none otherwise."""
    return select({
        _WITH_CUDA: ["@cuda//:" + n for n in names],
        "//conditions:default": [],
    })

def _bool_flag_impl(_ctx):
    return []

bool_flag = rule(
    implementation = _bool_flag_impl,
    build_setting = config.bool(flag = True),
)

_ListInfo = provider(fields = ["values"])

def _list_flag_impl(ctx):
    return _ListInfo(values = ctx.build_setting_value)

list_flag = rule(
    implementation = _list_flag_impl,
    build_setting = config.string_list(flag = True),
)

def _gencode(archs):
    """Machine code for each, and PTX of the last for anything newer."""
    archs = archs or GPU_ARCHS or ["90"]
    flags = ["-gencode=arch=compute_%s,code=sm_%s" % (a, a) for a in archs]
    return flags + ["-gencode=arch=compute_%s,code=compute_%s" % (archs[-1], archs[-1])]

def _host_copts(ctx):
    """The command line's --copt and --cxxopt, such as -march and -fsanitize.

    Not the warnings: nvcc's own output would not pass, and g++ sees the same
    sources in the build without CUDA.
    """
    return [
        o
        for o in ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts
        if not o.startswith("-W") and not o.startswith("-std=")
    ]

def _nvcc_objects_impl(ctx):
    if not CUDA_HOME:
        fail("\n\n  --config=cuda, but there is no CUDA toolkit: neither $CUDA_HOME/bin/nvcc nor /usr/local/cuda/bin/nvcc exists.\n")
    cc = cc_common.merge_cc_infos(
        cc_infos = [d[CcInfo] for d in ctx.attr.deps],
    ).compilation_context
    mode = ctx.var["COMPILATION_MODE"]
    common = ctx.actions.args()
    common.add_all(["-x", "cu", "-std=c++17", "--extended-lambda", "--expt-relaxed-constexpr"])

    # Calling a host function from device code is only a warning by default.
    common.add("-Werror=cross-execution-space-call")
    common.add_all({"opt": ["-O3", "-DNDEBUG"], "fastbuild": ["-O1"], "dbg": ["-O0", "-g"]}[mode])
    common.add_all(["-ccbin=g++", "-Xcompiler=-fPIC"])
    common.add_all(_host_copts(ctx), format_each = "-Xcompiler=%s")
    common.add_all(_gencode(ctx.attr._archs[_ListInfo].values))
    common.add_all(ctx.attr.nvcc_copts)

    # nvcc has no -iquote.
    root = ctx.label.workspace_root
    common.add_all(depset(
        [root or ".", ctx.bin_dir.path + ("/" + root if root else "")],
        transitive = [cc.quote_includes],
    ), format_each = "-I%s")
    common.add_all(cc.includes, before_each = "-I")
    common.add_all(cc.system_includes, before_each = "-isystem")
    common.add_all(cc.defines, format_each = "-D%s")
    common.add_all(ctx.attr.local_defines, format_each = "-D%s")
    objects = []
    for src in ctx.files.srcs:
        if src.extension == "h":
            continue
        obj = ctx.actions.declare_file("_nvcc/%s/%s.pic.o" % (
            ctx.label.name,
            src.basename[:-len(src.extension) - 1],
        ))
        args = ctx.actions.args()
        args.add_all(["-c", src, "-o", obj])
        ctx.actions.run(
            executable = CUDA_HOME + "/bin/nvcc",
            arguments = [common, args],
            inputs = depset(ctx.files.srcs + ctx.files.hdrs, transitive = [cc.headers]),
            outputs = [obj],
            mnemonic = "NvccCompile",
            progress_message = "Compiling %s with nvcc %s" % (src.short_path, CUDA_VERSION),
            env = {"PATH": "/usr/bin:/bin"},
        )
        objects.append(obj)
    return [DefaultInfo(files = depset(objects))]

_nvcc_objects = rule(
    implementation = _nvcc_objects_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cc", ".h"]),
        "hdrs": attr.label_list(allow_files = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "copts": attr.string_list(doc = "for the host compiler"),
        "local_defines": attr.string_list(),
        "nvcc_copts": attr.string_list(),
        "_archs": attr.label(default = "@trireme//tools/build_defs:cuda_archs"),
    },
    fragments = ["cpp"],
)

def cuda_library(
        name,
        srcs,
        hdrs = [],
        deps = [],
        copts = [],
        defines = [],
        local_defines = [],
        nvcc_copts = [],
        testonly = False,
        **kwargs):
    """A cc_library whose srcs nvcc compiles under --config=cuda and g++ otherwise.

    In a CUDA build TRIREME_CUDA is defined in srcs and in all that depends on
    the library, and @cuda//:cudart is among the deps.  In an optimized build
    the sources get -O3: this is where the time goes.

    Args:
      copts: for g++, as nvcc's host compiler too.
      nvcc_copts: for nvcc only.
    """
    deps = deps + cuda_deps(["cudart"])
    defines = defines + CUDA_DEFINES
    _nvcc_objects(
        name = name + "_nvcc",
        srcs = srcs,
        hdrs = hdrs,
        deps = deps,
        copts = copts,
        local_defines = local_defines + defines,
        nvcc_copts = nvcc_copts,
        tags = ["manual"],
        testonly = testonly,
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        srcs = select({
            _WITH_CUDA: [":" + name + "_nvcc"] if srcs else [],
            "//conditions:default": srcs,
        }),
        hdrs = hdrs,
        deps = deps,
        copts = copts + select({
            _OPTIMIZED: ["-O3"],
            "//conditions:default": [],
        }),
        defines = defines,
        local_defines = local_defines,
        testonly = testonly,
        **kwargs
    )

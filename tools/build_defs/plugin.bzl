"""trireme_plugin: a shared object that uses the framework of its host program.

A plugin must not bring its own copy of core: there would be a second registry,
and protobuf refuses to register a file twice.  So the host keeps and exports all
of the framework (whole_archive, -rdynamic) and the plugin links none of it
(sdk_headers).  What it uses of models/, data/ and parallel/ it links, and where
the host has the same, the host's exported symbols win.
"""

# The linker wants users before what they use, which is the topological order; a
# depset without one comes out reversed where it meets others of that order.

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

# What every program that loads plugins links, whole.
FRAMEWORK = "@trireme//core:framework"

def _sdk_headers_impl(ctx):
    provided = {}
    for dep in ctx.attr.provided:
        for li in dep[CcInfo].linking_context.linker_inputs.to_list():
            if li.libraries:
                provided[li.owner] = True
    merged = cc_common.merge_cc_infos(
        cc_infos = [d[CcInfo] for d in ctx.attr.deps + ctx.attr.provided],
    )
    return [CcInfo(
        compilation_context = merged.compilation_context,
        linking_context = cc_common.create_linking_context(linker_inputs = depset([
            li
            for li in merged.linking_context.linker_inputs.to_list()
            if li.owner not in provided
        ], order = "topological")),
    )]

sdk_headers = rule(
    doc = "The headers of deps and provided, and the libraries of deps which provided lacks.",
    implementation = _sdk_headers_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "provided": attr.label_list(
            providers = [CcInfo],
            doc = "what the loading program links",
        ),
    },
    provides = [CcInfo],
)

def _whole_archive_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(ctx = ctx, cc_toolchain = toolchain)
    merged = cc_common.merge_cc_infos(cc_infos = [d[CcInfo] for d in ctx.attr.deps])
    inputs = []
    for li in merged.linking_context.linker_inputs.to_list():
        libraries = []
        for lib in li.libraries:
            if lib.static_library or lib.pic_static_library:
                lib = cc_common.create_library_to_link(
                    actions = ctx.actions,
                    feature_configuration = features,
                    cc_toolchain = toolchain,
                    static_library = lib.static_library,
                    pic_static_library = lib.pic_static_library,
                    alwayslink = True,
                )
            libraries.append(lib)
        inputs.append(cc_common.create_linker_input(
            owner = li.owner,
            libraries = depset(libraries),
            user_link_flags = depset(li.user_link_flags),
        ))
    return [CcInfo(
        compilation_context = merged.compilation_context,
        linking_context = cc_common.create_linking_context(linker_inputs = depset(inputs, order = "topological")),
    )]

whole_archive = rule(
    doc = """Its deps, with every object linked, referenced or not.

That keeps registrars and whatever a plugin may call, generated messages too
(cc_proto_library has no alwayslink of its own).""",
    implementation = _whole_archive_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    provides = [CcInfo],
)

def _plugin_interface_impl(ctx):
    headers = []
    defines = []
    for dep in ctx.attr.deps:
        compilation = dep[CcInfo].compilation_context
        headers.append(compilation.headers)
        defines.append(compilation.defines)
    ours = [
        h
        for h in depset(transitive = headers).to_list()
        if h.owner.workspace_name == ctx.label.workspace_name and (h.owner.package + "/").startswith("core/")
    ]
    args = ctx.actions.args()
    args.add(ctx.outputs.out)
    args.add(" ".join(sorted(depset(transitive = defines).to_list())))
    args.add_all(ours)
    ctx.actions.run_shell(
        inputs = ours,
        outputs = [ctx.outputs.out],
        arguments = [args],
        # By content, for the paths are others where this tree is an external repository.
        command = """
out=$1; defines=$2; shift 2
digest=$({ echo "$defines"; for header; do sha256sum <"$header"; done | sort; } | sha256sum | cut -c1-16)
printf '#define TRIREME_PLUGIN_INTERFACE "%s"\\n' "$digest" >"$out"
""",
        mnemonic = "PluginInterface",
    )

plugin_interface = rule(
    doc = """A header that defines TRIREME_PLUGIN_INTERFACE: a digest of all headers of core that deps have.

A plugin and a program with the same agree on every class that both know.""",
    implementation = _plugin_interface_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "out": attr.output(mandatory = True),
    },
)

def trireme_plugin(name, srcs = [], deps = [], provided = [FRAMEWORK], **kwargs):
    """Builds NAME.so, to be loaded by a program linked with -rdynamic.

    Args:
      srcs: may use the framework and any library in deps. One of them says TRIREME_PLUGIN("..."). None: a file that says
        TRIREME_PLUGIN("NAME") is made.
      deps: libraries; those which the framework holds already are not linked.
      provided: what the loading program links.
    """
    sdk_headers(
        name = name + "_deps",
        testonly = kwargs.get("testonly", False),
        deps = deps,
        provided = provided,
        visibility = ["//visibility:private"],
        tags = ["manual"],
    )
    if not srcs:
        entry = name + "_entry.cc"
        native.genrule(
            name = name + "_entry",
            outs = [entry],
            cmd = "printf '#include \"core/base/plugin_loader.h\"\\nTRIREME_PLUGIN(\"%s\");\\n' > $@" % name,
            visibility = ["//visibility:private"],
            tags = ["manual"],
        )
        srcs = [entry]
    native.cc_binary(
        name = name + ".so",
        srcs = srcs,
        linkshared = True,
        deps = [":" + name + "_deps"],
        **kwargs
    )

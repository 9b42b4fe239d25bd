"""Rules behind the generated BUILD files of @system and @cuda."""

_MISSING = """

  {what} not found: {missing}.
  Install it with: apt-get install {apt}
  and run `bazel shutdown` once, so that Bazel looks again.
"""

def _system_library_impl(ctx):
    if ctx.attr.missing:
        fail(_MISSING.format(
            what = "System library " + ctx.label.name,
            missing = ", ".join(ctx.attr.missing),
            apt = ctx.attr.apt,
        ))
    own = CcInfo(
        compilation_context = cc_common.create_compilation_context(
            headers = depset(ctx.files.hdrs),
            system_includes = depset([
                ctx.label.workspace_root + "/" + d
                for d in ctx.attr.include_dirs
            ]),
        ),
        linking_context = cc_common.create_linking_context(
            linker_inputs = depset([cc_common.create_linker_input(
                owner = ctx.label,
                user_link_flags = depset(ctx.attr.link_flags),
            )]),
        ),
    )
    return [
        DefaultInfo(),
        cc_common.merge_cc_infos(cc_infos = [own] + [d[CcInfo] for d in ctx.attr.deps]),
    ]

system_library = rule(
    doc = "A library which is on the machine already, or an error that says how to get it.",
    implementation = _system_library_impl,
    attrs = {
        "hdrs": attr.label_list(allow_files = True),
        "include_dirs": attr.string_list(doc = "relative to the repository"),
        "link_flags": attr.string_list(),
        "deps": attr.label_list(providers = [CcInfo]),
        "missing": attr.string_list(doc = "what was looked for in vain"),
        "apt": attr.string(doc = "the package to suggest"),
    },
    provides = [CcInfo],
)

def _missing_tool_impl(ctx):
    fail(_MISSING.format(
        what = "Program",
        missing = ctx.attr.program,
        apt = ctx.attr.apt,
    ))

missing_tool = rule(
    doc = "Stands in for a program which is not there.",
    implementation = _missing_tool_impl,
    attrs = {
        "program": attr.string(),
        "apt": attr.string(),
    },
)

"""Offline stand-ins for repositories that Bazel 4 would otherwise download.

Bazel's built-in WORKSPACE suffix declares rules_cc, rules_java and
remote_coverage_tools as http_archive unless the project declared them first.
Only the few symbols below are ever loaded from them.
"""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "objc_import",
    "objc_library",
]

_JAVA_RULES = [
    "java_binary",
    "java_import",
    "java_library",
    "java_proto_library",
    "java_runtime",
    "java_toolchain",
]

# Every test depends on these two programs; they run under `bazel coverage`.
_COVERAGE_TOOLS = ["coverage_report_generator", "lcov_merger"]

def _rules_shim_impl(ctx):
    ctx.file("%s/BUILD" % ctx.attr.language)
    ctx.file(
        "%s/defs.bzl" % ctx.attr.language,
        "".join(["%s = native.%s\n" % (r, r) for r in ctx.attr.rules]),
    )

_rules_shim = repository_rule(
    implementation = _rules_shim_impl,
    attrs = {
        "language": attr.string(mandatory = True),
        "rules": attr.string_list(mandatory = True),
    },
)

def _coverage_shim_impl(ctx):
    ctx.symlink(ctx.attr._merger, "lcov_merger.py")
    ctx.file("BUILD", "".join([
        'sh_binary(name = "%s", srcs = ["lcov_merger.py"], visibility = ["//visibility:public"])\n' % name
        for name in _COVERAGE_TOOLS
    ]))

_coverage_shim = repository_rule(
    implementation = _coverage_shim_impl,
    attrs = {"_merger": attr.label(default = "@trireme//tools/build_defs:lcov_merger.py")},
)

def bazel_shims():
    # Debian's build has no version.  Other Bazels than 4 want other things of
    # these repositories, and know where to get them.
    version = native.bazel_version
    if version and not version.startswith("4."):
        return
    _rules_shim(name = "rules_cc", language = "cc", rules = _CC_RULES)
    _rules_shim(name = "rules_java", language = "java", rules = _JAVA_RULES)
    _coverage_shim(name = "remote_coverage_tools")

"""trireme_proto_library: messages and their C++ code in one declaration."""

def trireme_proto_library(name, srcs, deps = [], **kwargs):
    """Makes NAME_proto, for other protos' deps, and NAME_cc_proto, for C++.

    Args:
      deps: proto_library targets (//x:y_proto, @system//:any_proto).
    """
    native.proto_library(
        name = name + "_proto",
        srcs = srcs,
        deps = deps,
        **kwargs
    )
    native.cc_proto_library(
        name = name + "_cc_proto",
        deps = [":%s_proto" % name],
        **kwargs
    )

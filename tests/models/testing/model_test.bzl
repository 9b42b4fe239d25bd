"""model_test: a test of one source file of its name."""

load("//tools/build_defs:device_test.bzl", "device_test")

def model_test(name, deps, size = "small", on_devices = False, from_text = False, **kwargs):
    """A cc_test of NAME.cc with gtest's main.

    Args:
      on_devices: whether its cases also run on a GPU (device_test).
      from_text: whether it builds components from the text of configs.
      **kwargs: of the cc_test.
    """
    if from_text:
        deps = deps + [
            "//core/base:registry",
            "//core/config:config_cc_proto",
            "//core/config:config_file",
        ]
    rule = device_test if on_devices else native.cc_test
    rule(
        name = name,
        size = size,
        srcs = [name + ".cc"],
        deps = deps + ["@system//:gtest_main"],
        **kwargs
    )

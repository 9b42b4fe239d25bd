"""linked_objects: the object files that a program is linked from, its libraries' included."""

def _linked_objects_impl(ctx):
    objects = []
    for dep in ctx.attr.deps:
        before = len(objects)
        for linker_input in dep[CcInfo].linking_context.linker_inputs.to_list():
            for library in linker_input.libraries:
                objects += library.pic_objects or library.objects or []
        if len(objects) == before:
            fail("%s has no object files" % dep.label)
    return [DefaultInfo(runfiles = ctx.runfiles(files = objects))]

linked_objects = rule(
    implementation = _linked_objects_impl,
    attrs = {"deps": attr.label_list(providers = [CcInfo])},
)

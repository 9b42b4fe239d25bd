"""Makes the goldens of torchvision's detectors, which the tests beside this file compare with.

    python3 -m pip install torch torchvision safetensors
    python3 tests/golden/make_goldens.py [MODEL ...]

A golden holds, for weights and images that both sides compute (counter_random.py): what each head puts out, the losses,
the gradient of every parameter, and the detections. All of it is computed in float64, where rounding plays no part; a
second pass in float32 shows how far rounding alone takes torch from that, and that no choice (of a match, a proposal, a
suppressed box) hangs on it. A relu is such a choice too, and there are millions: where a unit lies within rounding of
zero, the gradient of all below it leaps. So biases are kept that hold units some deviations away from zero. What is
left (max-pools choose too) is kept with the golden: how far torch's own float32 is off, where that is not next to
nothing.
"""

import pathlib
import re
import statistics
import sys
from unittest import mock

import torch
import torchvision

import counter_random
import golden_file
import torchvision_models

FOLDER = pathlib.Path(__file__).resolve().parent / "data"
MOST_APART = 2e-5  # of float32 from float64, in torch alone
# Max-pools choose too, among millions of windows of VGG16 a few by rounding; each moves a gradient by a place.
MOST_APART_OF_GRADIENTS = 1e-3


def channels_last(tensor):
    return tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor


def set_weights(model, scales, biases):
    state = {}
    for name, tensor in model.state_dict().items():
        if name in biases:
            state[name] = torch.from_numpy(biases[name])
        elif name in scales:
            state[name] = torch.from_numpy(counter_random.weights(name, tuple(tensor.shape), *scales[name]))
    model.load_state_dict(state, strict=False)


def pixels_of(case):
    """uint8 [N, H, W, 3]."""
    return torch.from_numpy(counter_random.images(max(case.pictures) + 1, case.height, case.width)[case.pictures])


def targets_of(case, dtype):
    return [
        {
            "boxes": torch.tensor([o[:4] for o in objects], dtype=torch.float32).to(dtype).reshape(-1, 4),
            "labels": torch.tensor([o[4] + case.first_label for o in objects], dtype=torch.int64),
        }
        for objects in case.objects
    ]


def bias_norms(case, model, images, biases):
    """The same for norms that take their statistics of the batch: they come from `case` alone. The running statistics
    are kept as well, so that detection sees what training does.
    """
    for name, tensor in model.state_dict().items():
        if name.endswith(".running_var"):
            bias = name.replace("running_var", "bias")
            sign = counter_random.draw(counter_random.INITIALISATION, f"{bias} sign", len(tensor)) % 4
            biases[bias] = (((sign > 0) * 2.0 - 1) * case.norm_bias).astype("float32")
    model.load_state_dict({name: torch.from_numpy(values) for name, values in biases.items()}, strict=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(images, targets_of(case, torch.float32))
    model.eval()
    for name, tensor in model.state_dict().items():
        if name.endswith((".running_mean", ".running_var")):
            biases[name] = tensor.numpy().copy()


def keep_from_zero(case, model, images, biases):
    """Adds to `biases` those that keep what goes into a relu away from zero, one channel in four below, else above."""
    names = {module: name for name, module in model.named_modules()}
    recent = []
    relu = torch.nn.functional.relu

    def remember(module, _, __):
        if getattr(module, "bias", None) is not None:
            recent.append(module)

    def shifted_relu(x, inplace=False):
        name = f"{names[recent[-1]]}.bias"
        channels = x.transpose(0, 1).flatten(1) if x.dim() == 4 else x.T
        few = channels.shape[1] < case.least_places
        if name in biases or few or len(channels) != len(recent[-1].bias):
            return relu(x)
        spread = channels.std(dim=1) + 1e-3
        sign = counter_random.draw(counter_random.INITIALISATION, f"{name} sign", len(channels)) % 4
        distance = case.kept_from_zero * torch.where(torch.from_numpy(sign.astype("int64")) > 0, 1.0, -1.0)
        shift = distance * spread - channels.mean(dim=1)
        biases[name] = (recent[-1].bias + shift).numpy().astype("float32")
        return relu(x + (shift[:, None, None] if x.dim() == 4 else shift))

    hook = torch.nn.modules.module.register_module_forward_hook(remember)
    with torch.no_grad(), mock.patch("torch.nn.functional.relu", shifted_relu):
        model(images)
    hook.remove()


def make_scales(case, model, images):
    """Offset and scale of every tensor, and biases; final layers are measured, so that outputs have a given spread."""
    scales = {
        name: torchvision_models.offset_and_scale(case, name, tensor)
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    biases = {}
    set_weights(model, scales, biases)
    model.eval()
    if case.norm_bias > 0:
        bias_norms(case, model, images, biases)
    else:
        keep_from_zero(case, model, images, biases)
    set_weights(model, scales, biases)
    for pattern, wanted in case.deviations:
        outputs = {}
        hooks = [
            module.register_forward_hook(lambda _, __, out, n=name: outputs.setdefault(n, []).append(out.flatten()))
            for name, module in model.named_modules()
            if re.fullmatch(pattern, name)
        ]
        with torch.no_grad():
            model(images)
        for hook in hooks:
            hook.remove()
        for name, parts in outputs.items():
            deviation = torch.cat(parts).std().item()
            offset, scale = scales[name + ".weight"]
            # Four digits, so that two machines come to the same scale.
            scales[name + ".weight"] = (offset, float(f"{scale * wanted / deviation:.4g}"))
        set_weights(model, scales, biases)
    return scales, biases


def run(case, scales, biases, dtype):
    """Everything that is compared, by name, as arrays."""
    model = case.build()
    set_weights(model, scales, biases)
    model = model.to(dtype)
    pixels = pixels_of(case)
    images = [(image.permute(2, 0, 1).to(dtype) / 255).contiguous() for image in pixels]
    targets = targets_of(case, dtype)
    result = {}

    model.train()
    calls = {}

    def keep(name):
        def hook(_, __, out):
            calls[name] = calls.get(name, -1) + 1
            key = f"output/{name}/{calls[name]}"
            result[key] = golden_file.digest(key, channels_last(out.detach()).numpy())

        return hook

    hooks = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if re.fullmatch(case.heads, name)
    ]
    losses = model(images, targets)
    for hook in hooks:
        hook.remove()
    sum(losses.values()).backward()
    for name, loss in losses.items():
        result[f"loss/{name}"] = [loss.item()]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        key = f"gradient/{name}"
        result[key] = golden_file.digest(key, parameter.grad.numpy())

    # Training changed running statistics, where there are any.
    set_weights(model, scales, biases)
    model.eval()
    with torch.no_grad():
        detections = model(images)
    for i, found in enumerate(detections):
        labels = (found["labels"] - case.first_label).to(dtype)
        rows = torch.cat([found["boxes"], found["scores"][:, None], labels[:, None]], dim=1)
        has_area = (rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])
        result[f"detections/{i}"] = rows[has_area].numpy()
    return result


def nearest_rows(golden, other):
    """Of each row how far the nearest is that was not yet taken: the order of equal scores is rounding's."""
    assert len(golden) == len(other), f"{len(golden)} detections in float64, {len(other)} in float32"
    left = list(other)
    apart = [0.0]
    for row in golden:
        distances = [abs(row - candidate).max() for candidate in left]
        best = min(range(len(left)), key=distances.__getitem__)
        apart.append(distances[best] / abs(golden).max())
        left.pop(best)
    return max(apart)


def least_gradient(case, exact):
    """A shift in front of a norm has no gradient but rounding, so that its own norm cannot be the unit: a hundredth of
    the median gradient's is.
    """
    if case.norm_bias == 0:
        return 0.0
    return 0.01 * statistics.median(values[1] for name, values in exact.items() if name.startswith("gradient/"))


def check(exact, rounded, least):
    """How far float32 is from float64, at most, by kind; fails where a choice differs."""
    worst = {}
    for name, golden in exact.items():
        kind = name.split("/")[0]
        if kind in ("output", "gradient"):
            apart = golden_file.difference(golden, rounded[name], least if kind == "gradient" else 0.0)
        elif kind == "detections":
            apart = nearest_rows(golden, rounded[name])
        else:
            apart = abs(golden[0] - rounded[name][0]) / golden[0]
        worst.setdefault(kind, []).append((apart, name))
    for apart in worst.values():
        print("  float32 is off by", ", ".join(f"{a:.1e} ({name})" for a, name in sorted(apart)[-3:]))
    for kind, apart in worst.items():
        limit = MOST_APART_OF_GRADIENTS if kind == "gradient" else MOST_APART
        assert max(apart)[0] < limit, "a choice hangs on rounding: change the objects"
    return {name: apart for apart, name in worst["gradient"] if apart > MOST_APART}


def make(case):
    print(case.name, flush=True)
    model = case.build()
    pixels = pixels_of(case)
    scales, biases = make_scales(case, model, [image.permute(2, 0, 1).float() / 255 for image in pixels])
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    del model
    exact = run(case, scales, biases, torch.float64)
    arrays = dict(exact)
    least = least_gradient(case, exact)
    arrays["least_gradient"] = [least]
    for name, apart in check(exact, run(case, scales, biases, torch.float32), least).items():
        arrays[f"rounding/{name}"] = [apart]
    for name, (offset, scale) in scales.items():
        arrays[f"weights/{name}"] = [offset, scale, *shapes[name]]
    for name, values in biases.items():
        arrays[f"values/{name}"] = values
    arrays["images"] = [len(case.objects), case.height, case.width]
    arrays["pictures"] = case.pictures
    for i, objects in enumerate(case.objects):
        arrays[f"objects/{i}"] = objects
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{case.name}.safetensors"
    golden_file.write(path, arrays, {"torch": torch.__version__, "torchvision": torchvision.__version__})
    found = [len(exact[f"detections/{i}"]) for i in range(len(case.objects))]
    losses = {name[5:]: round(value[0], 5) for name, value in exact.items() if name.startswith("loss/")}
    print(f"  losses {losses}, detections {found}, {path.stat().st_size} bytes")


def main():
    wanted = sys.argv[1:]
    for case in torchvision_models.CASES:
        if not wanted or case.name in wanted:
            make(case)


if __name__ == "__main__":
    main()

"""Makes the goldens of YOLOv3 and YOLOv3-tiny by Darknet's own code, which the tests beside this file compare with.

    apt-get install darknet gcc
    python3 tests/golden/make_darknet_goldens.py [CASE ...]

The networks are those of Darknet's cfg files, for fewer classes and smaller images. In training Darknet's norms take
their statistics with another divisor than the gradient that it computes, so training is compared without them: ours
are frozen then, at mean 0 and variance 1. Detection is compared with norms.
"""

import configparser
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

import counter_random
import golden_file

HERE = pathlib.Path(__file__).resolve().parent
CFGS = pathlib.Path("/usr/share/darknet/cfg")
LIBRARY = "/usr/lib/darknet"
CLASSES = 3
HEIGHT, WIDTH = 160, 224
OBJECTS = [
    [(12.3, 20.6, 60.2, 71.9, 0), (80.1, 33.7, 201.4, 120.3, 1), (5.5, 90.9, 50.8, 150.2, 2)],
    [(100.7, 40.1, 160.6, 122.3, 2)],
    [],
]
PICTURES = [0, 1, 9]  # of counter_random's
HEAD_DEVIATION = 1.0


class Network:
    """A cfg file, changed to our classes and images, and its convolutions in their order."""

    def __init__(self, cfg, norms):
        text = (CFGS / cfg).read_text()
        text = re.sub(r"(?m)^batch=\d+", f"batch={len(OBJECTS)}", text)
        text = re.sub(r"(?m)^subdivisions=\d+", "subdivisions=1", text)
        text = re.sub(r"(?m)^width *=.*", f"width={WIDTH}", text)
        text = re.sub(r"(?m)^height *=.*", f"height={HEIGHT}", text)
        text = re.sub(r"(?m)^classes *=.*", f"classes={CLASSES}", text)
        text = re.sub(r"(?m)^filters *= *255", f"filters={3 * (5 + CLASSES)}", text)
        if not norms:
            text = re.sub(r"(?m)^batch_normalize *=.*\n", "", text)
        self.text = text
        self.norms = norms
        self._read()

    def _read(self):
        # Sections have no names of their own.
        numbered = iter(range(1000))
        parser = configparser.ConfigParser(strict=False)
        parser.read_string(re.sub(r"(?m)^\[(\w+)\]", lambda m: f"[{next(numbered)} {m[1]}]", self.text))
        sections = [(name.split()[1], parser[name]) for name in parser.sections()][1:]
        channels = []
        self.convs = []  # (layer, inputs, outputs, kernel, gives outputs, is added to what goes around it)
        for k, (kind, section) in enumerate(sections):
            if kind == "convolutional":
                inputs = channels[-1] if channels else 3
                outputs = int(section["filters"])
                following = sections[k + 1][0] if k + 1 < len(sections) else ""
                self.convs.append(
                    (k, inputs, outputs, int(section["size"]), following == "yolo", following == "shortcut")
                )
                channels.append(outputs)
            elif kind == "route":
                layers = [int(text) for text in section["layers"].split(",")]
                channels.append(sum(channels[layer if layer >= 0 else k + layer] for layer in layers))
            else:
                channels.append(channels[-1])

    def names(self):
        """Our names of the convolutions, in the cfg's order."""
        first = next(i for i, conv in enumerate(self.convs) if conv[4])
        # The head begins with what stands behind the backbone's last map.
        backbone = {"yolov3": 52, "yolov3-tiny": 7}[self.family()]
        assert first > backbone
        return [
            f"backbone.conv{i}" if i < backbone else f"head.network.conv{i - backbone}" for i in range(len(self.convs))
        ]

    def family(self):
        return "yolov3" if len(self.convs) == 75 else "yolov3-tiny"

    def spreads(self, head_scales):
        """Of every array of ours, in the order of a .weights file: name, shape, offset and scale."""
        result = []
        for name, (_, inputs, outputs, kernel, is_output, is_residual) in zip(self.names(), self.convs):
            scale = (4 / (inputs * kernel * kernel)) ** 0.5 * (0.3 if is_residual else 1)
            filters = (outputs, inputs, kernel, kernel)
            if is_output:
                scale *= head_scales.get(name, 1)
                result.append((f"{name}.bias", (outputs,), 0, 0.1))
                result.append((f"{name}.weight", filters, 0, scale))
                continue
            result.append((f"{name}.norm.bias", (outputs,), 0, 0.1))
            result.append((f"{name}.norm.weight", (outputs,), 1, 0.25 if self.norms else 0))
            result.append((f"{name}.norm.running_mean", (outputs,), 0, 0.1 if self.norms else 0))
            result.append((f"{name}.norm.running_var", (outputs,), 1, 0.5 if self.norms else 0))
            result.append((f"{name}.conv.weight", filters, 0, scale))
        return result


def truth():
    rows = np.zeros((len(OBJECTS), 90, 5), dtype=np.float32)
    for n, objects in enumerate(OBJECTS):
        for i, (x1, y1, x2, y2, label) in enumerate(objects):
            rows[n, i] = [(x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT, label]
    return rows


def run_darknet(program, mode, network, spreads, biases, folder):
    """What darknet_pass.c gives, by name."""
    (folder / "net.cfg").write_text(network.text)
    with open(folder / "net.weights", "wb") as out:
        np.array([0, 2, 0], dtype=np.int32).tofile(out)
        np.array([0], dtype=np.uint64).tofile(out)
        for name, shape, offset, scale in spreads:
            if network.norms or not re.search(r"norm\.(weight|running_mean|running_var)$", name):
                biases.get(name, counter_random.weights(name, shape, offset, scale)).tofile(out)
    pictures = counter_random.images(max(PICTURES) + 1, HEIGHT, WIDTH)
    images = pictures[PICTURES].transpose(0, 3, 1, 2) / np.float32(255)
    with open(folder / "in", "wb") as out:
        np.ascontiguousarray(images, dtype=np.float32).tofile(out)
        truth().tofile(out)
    arguments = [program, mode, folder / "net.cfg", folder / "net.weights", folder / "in", folder / "out"]
    subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True)
    result = {}
    data = (folder / "out").read_bytes()
    at = 0
    while at < len(data):
        end = data.index(b"\n", at)
        name, count = data[at:end].decode().split()
        at = end + 1 + 4 * int(count)
        result[name] = np.frombuffer(data[end + 1 : at], dtype=np.float32).astype(np.float64)
    return result


def losses_of(passed, network):
    """The losses whose gradients Darknet puts out, by its own targets: what it gives back is target minus output."""

    def entropy(logit, target):
        return np.maximum(logit, 0) - logit * target + np.log1p(np.exp(-np.abs(logit)))

    box = objectness = classification = 0.0
    for layer, _, _, _, is_output, _ in network.convs:
        if not is_output:
            continue
        rows, columns = map_size(passed, layer, network)
        shape = (len(OBJECTS), 3, 5 + CLASSES, rows, columns)
        logit = passed[f"output/{layer + 1}"].reshape(shape)
        back = passed[f"delta/{layer + 1}"].reshape(shape)
        chance = 1 / (1 + np.exp(-logit))
        target = chance + back
        trained = back[:, :, 4] != 0
        objectness += np.sum(entropy(logit, target)[:, :, 4][trained])
        found = trained & (back[:, :, 4] > 0)
        for n, anchor, row, column in zip(*np.nonzero(found)):
            place = (n, anchor, slice(None), row, column)
            centres = [(o, (o[0] + o[2]) / 2 / WIDTH * columns, (o[1] + o[3]) / 2 / HEIGHT * rows) for o in OBJECTS[n]]
            (own,) = [o for o, x, y in centres if int(x) == column and int(y) == row]
            weight = 2 - (own[2] - own[0]) * (own[3] - own[1]) / (WIDTH * HEIGHT)
            classification += np.sum(entropy(logit[place], target[place])[5:])
            centre = chance[place][:2] + back[place][:2] / weight
            box += weight * np.sum(entropy(logit[place][:2], centre))
            box += np.sum(back[place][2:4] ** 2) / weight / 2
    count = len(OBJECTS)
    return {"box": box / count, "objectness": objectness / count, "classification": classification / count}


def map_size(passed, layer, network):
    """Rows and columns of an output, whose stride is 8, 16 or 32."""
    places = passed[f"output/{layer + 1}"].size // (len(OBJECTS) * 3 * (5 + CLASSES))
    (stride,) = [s for s in (8, 16, 32) if (HEIGHT // s) * (WIDTH // s) == places]
    return HEIGHT // stride, WIDTH // stride


def deviations(passed, network):
    outputs = [(name, conv[0]) for name, conv in zip(network.names(), network.convs) if conv[4]]
    return {name: passed[f"output/{layer + 1}"].std() for name, layer in outputs}


def training_golden(passed, network):
    arrays = {f"loss/{name}": [value] for name, value in losses_of(passed, network).items()}
    for name, (layer, inputs, outputs, kernel, is_output, _) in zip(network.names(), network.convs):
        # Ours are of the mean over the images.
        gradients = {f"{name}.weight" if is_output else f"{name}.conv.weight": -passed[f"weight/{layer}"]}
        if is_output:
            gradients[f"{name}.bias"] = -passed[f"bias/{layer}"]
            rows, columns = map_size(passed, layer, network)
            output = passed[f"output/{layer + 1}"].reshape(len(OBJECTS), outputs, rows, columns)
            key = f"output/{name}/0"
            arrays[key] = golden_file.digest(key, output.transpose(0, 2, 3, 1))
        for parameter, gradient in gradients.items():
            key = f"gradient/{parameter}"
            arrays[key] = golden_file.digest(key, gradient / len(OBJECTS))
    return arrays


def inside(rows):
    """Detections that are clipped to the image, as Darknet does where it writes them, if they have an area then."""
    rows[:, 0:4:2] = rows[:, 0:4:2].clip(0, WIDTH)
    rows[:, 1:4:2] = rows[:, 1:4:2].clip(0, HEIGHT)
    return rows[(rows[:, 2] > rows[:, 0]) & (rows[:, 3] > rows[:, 1])]


def make(program, name, cfg, mode):
    print(name, flush=True)
    network = Network(cfg, norms=mode == "detect")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        # Outputs are scaled to a given spread; four digits, so that two machines come to the same scale.
        away = run_darknet(program, "bias", network, network.spreads({}), {}, folder)
        biases = {
            f"{key}.norm.bias": away[f"bias/{conv[0]}"].astype(np.float32)
            for key, conv in zip(network.names(), network.convs)
            if not conv[4]
        }
        first = run_darknet(program, mode, network, network.spreads({}), biases, folder)
        scales = {key: float(f"{HEAD_DEVIATION / value:.4g}") for key, value in deviations(first, network).items()}
        spreads = network.spreads(scales)
        passed = run_darknet(program, mode, network, spreads, biases, folder)
    if mode == "train":
        arrays = training_golden(passed, network)
    else:
        arrays = {key: inside(value.reshape(-1, 6)) for key, value in passed.items() if key.startswith("detections/")}
    for key, shape, offset, scale in spreads:
        arrays[f"weights/{key}"] = [offset, scale, *shape]
    for key, values in biases.items():
        arrays[f"values/{key}"] = values
    arrays["images"] = [len(OBJECTS), HEIGHT, WIDTH]
    arrays["pictures"] = PICTURES
    for n, objects in enumerate(OBJECTS):
        arrays[f"objects/{n}"] = objects
    path = HERE / "data" / f"{name}.safetensors"
    golden_file.write(path, arrays, {"darknet_order": " ".join(key for key, _, _, _ in spreads)})
    losses = {key[5:]: round(float(value[0]), 5) for key, value in arrays.items() if key.startswith("loss/")}
    found = [len(value) for key, value in arrays.items() if key.startswith("detections/")]
    print(f"  losses {losses}, detections {found}, {path.stat().st_size} bytes")


def main():
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/darknet_pass"
        source = str(HERE / "darknet_pass.c")
        link = [f"-L{LIBRARY}", "-ldarknet", "-lm", f"-Wl,-rpath,{LIBRARY}"]
        subprocess.run(["gcc", "-O2", f"-I{LIBRARY}/include", source, "-o", program, *link], check=True)
        for family in ("yolov3-tiny", "yolov3"):
            for mode in ("train", "detect"):
                name = f"{family.replace('-', '_')}_{mode}"
                if not wanted or name in wanted:
                    make(program, name, f"{family}.cfg", mode)


if __name__ == "__main__":
    main()

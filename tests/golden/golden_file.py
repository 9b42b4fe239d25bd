"""What a golden keeps of a tensor, and the file that it lies in (safetensors, float32).

A tensor is kept whole if it is small. Of a larger one are kept its norm, its products with eight fixed vectors of
signs, and some of its elements. The mean square of the differences of such products estimates the squared norm of the
difference (Johnson, Lindenstrauss 1984), so a golden of a few hundred numbers tells how far all of a tensor is off.
"""

import numpy as np
import safetensors.numpy

import counter_random

ELEMENTS = 256
PROJECTIONS = 8


def _project(name, values):
    signs = counter_random.sign_bytes(name, values.size)
    total = np.zeros(PROJECTIONS)
    for begin in range(0, values.size, 1 << 20):
        part = values[begin : begin + (1 << 20)]
        bits = np.unpackbits(signs[begin : begin + (1 << 20), None], axis=1, bitorder="little")
        total += 2 * (part @ bits) - part.sum()
    return total


def digest(name, tensor):
    """[size, norm, eight products, elements at size * k // count], float32; `tensor` in torch's order."""
    values = np.asarray(tensor, dtype=np.float64).reshape(-1)
    count = min(values.size, ELEMENTS)
    places = np.arange(count, dtype=np.int64) * values.size // max(count, 1)
    head = [values.size, np.sqrt(np.sum(values * values))]
    return np.concatenate([head, _project(name, values), values[places]]).astype(np.float32)


def difference(golden, other, least_norm=0.0):
    """The estimated norm of the difference of two digests, relative to the first's, but at least to `least_norm`."""
    products = slice(2, 2 + PROJECTIONS)
    apart = golden[products].astype(np.float64) - other[products]
    return float(np.sqrt(np.mean(apart * apart)) / max(golden[1], least_norm, 1e-30))


def write(path, arrays, metadata):
    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in sorted(arrays.items())}
    safetensors.numpy.save_file(arrays, path, metadata=metadata)

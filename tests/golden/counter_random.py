"""Numbers that depend on a name and a position only: those of core/base/random.h, drawn in numpy.

Both sides of a golden compute weights, images and signs from them, so that none of these has to be stored.
"""

import numpy as np

SEED = 20261129
# RandomUse in core/base/random.h.
INITIALISATION, SYNTHESIS, SAMPLING = 1, 4, 6

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def name_key(name):
    """FNV-1a, 64 bits (Fowler, Noll, Vo), as core/base/hash.h."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return key


def draw(use, name, count):
    """The first `count` numbers, uint32, of Random(SEED, use, name_key(name))."""
    key = name_key(name)
    blocks = (count + 3) // 4
    c0 = np.arange(blocks, dtype=np.uint64)
    c1 = np.full(blocks, key & 0xFFFFFFFF, dtype=np.uint64)
    c2 = np.full(blocks, key >> 32, dtype=np.uint64)
    c3 = np.zeros(blocks, dtype=np.uint64)
    k0 = SEED & 0xFFFFFFFF
    k1 = (SEED >> 32) ^ (use * 0x9E3779B9 & 0xFFFFFFFF)
    for _ in range(10):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        c0 = (p1 >> _HALF) ^ c1 ^ np.uint64(k0)
        c2 = (p0 >> _HALF) ^ c3 ^ np.uint64(k1)
        c1 = p1 & _LOW
        c3 = p0 & _LOW
        k0 = k0 + 0x9E3779B9 & 0xFFFFFFFF
        k1 = k1 + 0xBB67AE85 & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).reshape(-1)[:count].astype(np.uint32)


def weights(name, shape, offset, scale):
    """float32, `offset` + `scale` * u, rounded once; u is uniform in [-1, 1)."""
    count = int(np.prod(shape, dtype=np.int64))
    u = (draw(INITIALISATION, name, count) >> np.uint32(8)).astype(np.float64) / (1 << 23) - 1
    return (float(np.float32(offset)) + float(np.float32(scale)) * u).astype(np.float32).reshape(shape)


def images(count, height, width):
    """uint8 [count, height, width, 3]: noise on squares of 16 pixels of one colour each."""
    rows, columns = (height + 15) // 16, (width + 15) // 16
    squares = draw(SYNTHESIS, "squares", count * rows * columns * 3).reshape(count, rows, columns, 3)
    noise = draw(SYNTHESIS, "noise", count * height * width * 3).reshape(count, height, width, 3)
    squares = squares.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    return ((squares >> np.uint32(25)) + (noise >> np.uint32(25))).astype(np.uint8)


def sign_bytes(name, count):
    """uint8 [count]: bit k is the sign of an element in the k-th of eight projections."""
    return draw(SAMPLING, name, (count + 3) // 4).view(np.uint8)[:count]

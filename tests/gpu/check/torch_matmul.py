"""Measures the rate of this GPU's matrix units in bfloat16 by large products in PyTorch. Prints one JSON object."""

import argparse
import json
import time

import torch


def rate(size, seconds, device):
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    b = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    synchronize = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    for _ in range(3):
        torch.matmul(a, b)
    synchronize()
    best, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end or best == 0:
        began = time.perf_counter()
        for _ in range(10):
            torch.matmul(a, b)
        synchronize()
        best = max(best, 10 * 2 * size**3 / (time.perf_counter() - began))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", default="4096,8192,16384")
    parser.add_argument("--seconds", type=float, default=2, help="for each size")
    args = parser.parse_args()
    rates = {size: rate(int(size), args.seconds, args.device) for size in args.sizes.split(",")}
    print(json.dumps({"flops": max(rates.values()), "by_size": rates}))


if __name__ == "__main__":
    main()

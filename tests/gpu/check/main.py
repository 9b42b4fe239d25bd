"""run.sh: every check that needs a GPU, one table, and JSON with every number.

  run.sh [--only=ops,ssd50_small] [--side-by-side] [--pack=FOLDER] [--out=FOLDER] [--minutes=10] [--markdown] [--list]

Ends with 0 if rows passed on a GPU and none failed, 1 if a row failed, 2 if the command line or the pack is wrong, and
3 if nothing ran on a GPU: what was skipped is not passed.
"""

import argparse
import datetime
import json
import pathlib
import subprocess
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import machine as machine_module  # noqa: E402
import rows  # noqa: E402
import tests_rows  # noqa: E402,F401  the modules register their rows
import fault_rows  # noqa: E402,F401
import training_rows  # noqa: E402,F401
import detector_rows  # noqa: E402,F401
import speed_rows  # noqa: E402,F401

# Cheap and telling first; what takes long, or only compares speed, last.
ORDER = [
    "pack", "no_device", "old_driver", "device", "ops", "models", "parallel", "input", "captured", "ssd50_small",
    "two_workers", "precisions", "nccl", "out_of_memory", "vanished_device", "wrong_architecture", "detectors_captured",
    "detectors50", "detectors_bf16", "strategies", "ssd50_vgg16", "matrix_rate", "host_time", "throughput_128",
    "throughput_32", "memory", "matrix_share", "resnet50", "throughput_faster_rcnn", "throughput_retinanet", "idle", "bf16_map",
    "ptx", "memcheck", "racecheck", "initcheck",
]

# With --side-by-side, rows that measure no time: those of a lane one after the other, the lanes of a wave at once. Five
# lanes did well on an H200; nine, of which three were compute-sanitizer's, ran into their limits.
WAVES = [
    [["pack", "no_device", "old_driver", "device", "input"], ["ops", "models"], ["parallel", "nccl"],
     ["captured", "ssd50_small", "two_workers", "precisions", "out_of_memory", "vanished_device", "wrong_architecture",
      "ssd50_vgg16"],
     ["detectors_captured", "detectors50", "detectors_bf16", "strategies"]],
    [["bf16_map"], ["ptx"]],
    [["memcheck"], ["racecheck"], ["initcheck"]],
]


def find_pack(asked):
    here = pathlib.Path(__file__).resolve().parent.parent
    candidates = [pathlib.Path(asked)] if asked else [here, here.parent.parent / "gpu_check"]
    for candidate in candidates:
        if (candidate / "bin").is_dir() and (candidate / "lib").is_dir():
            return candidate.resolve()
    sys.exit(f"run.sh: no pack at {' or '.join(map(str, candidates))}; make one with tests/gpu/pack.sh FOLDER")


def reason_to_skip(row, machine, rehearse):
    if "gpu" in row.needs and not rehearse and machine.gpu.absence:
        return machine.gpu.absence
    missing = machine.missing_libraries()
    if missing:
        return f"{', '.join(missing)} not found"
    for need in row.needs:
        if need == "torch" and not machine.torch():
            return "no PyTorch with torchvision"
        if need == "torch" and not rehearse and not machine.torch()["cuda"]:
            return "this PyTorch sees no CUDA"
        if need == "sanitizer" and rehearse:
            return "needs a GPU"
        if need == "sanitizer" and not machine.sanitizer:
            return "no compute-sanitizer"
    return None


def run_row(row, check, end):
    reason = reason_to_skip(row, check.machine, check.rehearse)
    if reason:
        return rows.Result(row, rows.SKIPPED, 0, reason)
    left = end - time.monotonic()
    if left < 10:
        return rows.Result(row, rows.SKIPPED, 0, "no time left")
    check.numbers = {}
    began = time.monotonic()
    check.deadline = began + min(row.limit, left)
    try:
        detail = row.function(check)
        status = rows.REHEARSED if check.rehearse and "gpu" in row.needs else rows.PASSED
    except rows.Failed as fault:
        status, detail = rows.FAILED, str(fault)
    except rows.Skipped as fault:
        status, detail = rows.SKIPPED, str(fault)
    except Exception:  # a fault of the check itself must not end the table
        status, detail = rows.FAILED, "".join(traceback.format_exc().splitlines(True)[-4:])
    finally:
        check.end_row()
    return rows.Result(row, status, time.monotonic() - began, detail or "", check.numbers)


def run_lane(names, out, args, end):
    command = [sys.executable, "-B", __file__, f"--only={','.join(names)}", f"--out={out}",
               f"--minutes={(end - time.monotonic() + 5) / 60}"]
    command += [f"--pack={args.pack}"] if args.pack else []
    command += ["--rehearse"] if args.rehearse else []
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "table.txt", "wb") as table:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=table, stderr=subprocess.STDOUT)


def run_side_by_side(chosen, known, out, args, end):
    """Yields the results of the rows of WAVES that are chosen, a lane's when it has ended."""
    for wave in WAVES:
        lanes = []
        for names in wave:
            names = [name for name in names if name in chosen]
            if names:
                lanes.append((names, out / names[0], run_lane(names, out / names[0], args, end)))
        for names, folder, process in lanes:
            process.wait()
            found = {}
            if (folder / "results.json").exists():
                found = {r["row"]: r for r in json.loads((folder / "results.json").read_text())["rows"]}
            for name in names:
                r = found.get(name, {"result": rows.FAILED, "seconds": 0, "detail": f"its process ended, see {folder}"})
                yield rows.Result(known[name], r["result"], r["seconds"], r["detail"], r.get("numbers", {}))


def line(result):
    detail = result.detail.splitlines() or [""]
    text = f"{result.row.name:<19} {result.status:<9} {result.seconds:6.1f}  {detail[0]}"
    return "\n".join([text] + [" " * 38 + more for more in detail[1:9]])


def markdown(results, gpu):
    """The table of docs/gpu_status.md."""
    today = datetime.date.today().isoformat()
    lines = ["| row | what it shows | last seen on a GPU | instead, on every CI run |", "|---|---|---|---|"]
    for result in results:
        seen = {rows.PASSED: f"{today}, {gpu}: {result.detail.splitlines()[0] if result.detail else 'passed'}",
                rows.FAILED: f"failed {today}, {gpu}"}.get(result.status, "never")
        if "gpu" not in result.row.needs and result.status == rows.PASSED:
            seen = "needs none"
        lines.append(f"| {result.row.name} | {result.row.title} | {seen} | {result.row.instead} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="rows, with commas")
    parser.add_argument("--side-by-side", action="store_true",
                        help="rows that measure no time at once; the others afterwards, one by one")
    parser.add_argument("--pack", help="the folder that pack.sh made")
    parser.add_argument("--out", default="gpu_check_results", help="folder for logs and results.json")
    parser.add_argument("--minutes", type=float, default=10, help="for all rows together")
    parser.add_argument("--markdown", action="store_true", help="prints the table of docs/gpu_status.md too")
    parser.add_argument("--list", action="store_true", help="the rows, without running them")
    parser.add_argument("--rehearse", action="store_true",
                        help="runs the scripts on the CPU with tiny sizes; nothing passes by it")
    args = parser.parse_args()

    known = {r.name: r for r in rows.ROWS}
    assert sorted(ORDER) == sorted(known), set(ORDER) ^ set(known)
    together = [name for wave in WAVES for lane in wave for name in lane]
    assert sorted(together) == sorted(r.name for r in rows.ROWS if not r.alone), "WAVES has each row that is not alone"
    chosen = args.only.split(",") if args.only else ORDER
    for name in chosen:
        if name not in known:
            sys.exit(f"run.sh: there is no row {name}; there are {', '.join(ORDER)}")
    if args.list:
        nothing = [rows.Result(known[name], "never") for name in chosen]
        print(markdown(nothing, "") if args.markdown else
              "\n".join(f"{r.row.name:<19} {r.row.limit:4.0f} s  {r.row.title}" for r in nothing))
        return 0

    began = time.monotonic()
    pack = find_pack(args.pack)
    out = pathlib.Path(args.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    machine = machine_module.Machine(pack, out)
    print(machine.describe(), flush=True)
    if (pack / "MANIFEST.json").exists():
        print("pack        " + json.dumps(json.loads((pack / "MANIFEST.json").read_text())), flush=True)
    print(f"\n{'row':<19} {'result':<9} seconds  detail", flush=True)
    check = rows.Check(pack, out, machine, args.rehearse)
    end = began + 60 * args.minutes - 5
    results = []

    def all_results():
        if args.side_by_side:
            yield from run_side_by_side(chosen, known, out, args, end)
        for name in chosen:
            if known[name].alone or not args.side_by_side:
                yield run_row(known[name], check, end)

    try:
        for result in all_results():
            results.append(result)
            print(line(result), flush=True)
            (out / "results.json").write_text(json.dumps({
                "machine": machine.as_json(), "seconds": time.monotonic() - began,
                "rows": [{"row": r.row.name, "result": r.status, "seconds": r.seconds, "detail": r.detail,
                          **({"numbers": r.numbers} if r.numbers else {})} for r in results]}, indent=2) + "\n")
    finally:
        for process in check.background:
            check.kill(process)

    if args.markdown:
        print("\n" + markdown(results, machine.gpu.name))
    count = {status: sum(r.status == status for r in results) for status in
             (rows.PASSED, rows.FAILED, rows.SKIPPED, rows.REHEARSED)}
    on_gpu = sum(r.status == rows.PASSED and "gpu" in r.row.needs for r in results)
    print(f"\n{time.monotonic() - began:.0f} s in all; every number is in {out}/results.json")
    if count[rows.REHEARSED]:
        print(f"{count[rows.REHEARSED]} rows were rehearsed on the CPU, which counts as skipped")
    if not on_gpu:
        print("NOTHING RAN ON A GPU" + (f": {machine.gpu.absence}" if machine.gpu.absence else ""))
    print(f"{count[rows.PASSED]} passed, {count[rows.FAILED]} failed, {count[rows.SKIPPED] + count[rows.REHEARSED]} skipped")
    if count[rows.FAILED]:
        return 1
    return 0 if on_gpu else 3


if __name__ == "__main__":
    sys.exit(main())

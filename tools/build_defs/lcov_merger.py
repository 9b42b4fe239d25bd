#!/usr/bin/env python3
"""Writes one lcov file, in place of the Java tool that Bazel would download.

Called after each test with --coverage_dir (where gcov left its JSON), and once
at the end with --reports_file (a list of the tests' lcov files).
"""
import collections
import gzip
import json
import os
import sys


def read_gcov(top, lines):
    for folder, _, names in os.walk(top):
        for name in names:
            if not name.endswith(".gcov.json.gz"):
                continue
            with gzip.open(os.path.join(folder, name)) as stream:
                for entry in json.load(stream)["files"]:
                    if entry["file"].startswith("/"):  # a system header
                        continue
                    for line in entry["lines"]:
                        lines[entry["file"]][line["line_number"]] += line["count"]


def read_lcov(path, lines):
    source = None
    with open(path) as stream:
        for text in stream:
            if text.startswith("SF:"):
                source = text[3:].strip()
            elif text.startswith("DA:"):
                number, count = text[3:].split(",")[:2]
                lines[source][int(number)] += int(count)


def main():
    options = dict(a[2:].split("=", 1) for a in sys.argv[1:] if a.startswith("--") and "=" in a)
    lines = collections.defaultdict(collections.Counter)
    if "reports_file" in options:
        with open(options["reports_file"]) as stream:
            for path in stream.read().split():
                read_lcov(path, lines)
    else:
        read_gcov(options["coverage_dir"], lines)
    with open(options["output_file"], "w") as out:
        for source, counts in sorted(lines.items()):
            out.write(f"SF:{source}\n")
            for number, count in sorted(counts.items()):
                out.write(f"DA:{number},{count}\n")
            hit = sum(1 for c in counts.values() if c)
            out.write(f"LH:{hit}\nLF:{len(counts)}\nend_of_record\n")


main()

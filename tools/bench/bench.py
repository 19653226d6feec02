#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What a cogfs mount costs, beside the native directory and plain HTTP clients in the same run.

  sudo tools/bench/bench.py                     all rows, as a table
  sudo tools/bench/bench.py --json FILE         the numbers as well
  sudo tools/bench/bench.py --only PART         rows of small, large, cold, memory, write
  sudo tools/bench/bench.py --passthrough off   as on a kernel without it

Needs root, cc, curl and versitygw (tools/deps.sh --test). Everything is made below --dir
(/var/tmp) and removed. Sides take turns, so that what else the machine does meets all of them, and
each number is the best of its rounds: what else happened can only have made it worse.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gateway import Gateway, find_versitygw
from mount import Mount, find_cogfs

HERE = Path(__file__).resolve().parent
SMALL, SMALL_COUNT = 4096, 2000
LARGE = 512 << 20
READERS = 16
KNOWN = 100_000


class Bench:
    def __init__(self, folder, rounds, passthrough):
        self.folder = Path(folder)
        self.rounds = rounds
        self.passthrough = passthrough
        self.rows = []
        self.gateway = Gateway(folder)
        self.loops_binary = self.folder / "loops"
        command = ["cc", "-O2", "-D_GNU_SOURCE", "-pthread", "-o", self.loops_binary, HERE / "loops.c"]
        subprocess.run(command, check=True)

    def loops(self, *arguments):
        """One run of the C helper: nanoseconds."""
        command = [str(self.loops_binary), *map(str, arguments)]
        return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def mount(self, name, cold=None):
        return Mount(self.folder, name, cold or self.gateway.tier(), self.passthrough)

    def file_list(self, name, paths):
        path = self.folder / name
        path.write_text("".join(f"{p}\n" for p in paths))
        return path

    def take_turns(self, best, *sides):
        """Calls each side in each round; the best (min or max) of each."""
        taken = [[side() for side in sides] for _ in range(self.rounds)]
        return [best(column) for column in zip(*taken)]

    def row(self, name, unit, native, cogfs, aim, reached):
        """reached(native, cogfs) -> whether the aim is met."""
        entry = {"name": name, "unit": unit, "baseline": native, "cogfs": cogfs, "aim": aim}
        entry["reached"] = None if reached is None else bool(reached(native, cogfs))
        self.rows.append(entry)
        print_row(entry)


def random_file(path, size):
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))


def small_objects(prefix):
    return [(f"{prefix}/{i % 20}/f{i}", os.urandom(SMALL)) for i in range(SMALL_COUNT)]


def per_second(amount, nanoseconds):
    return amount / (nanoseconds / 1e9)


# --- rows ---


def bench_small(b):
    """Warm: open, read and close 4 KiB."""
    objects = small_objects("small")
    native = b.folder / "native"
    for key, data in objects:
        (native / key).parent.mkdir(parents=True, exist_ok=True)
        (native / key).write_bytes(data)
    native_list = b.file_list("native.list", [native / key for key, _ in objects])
    b.gateway.put_many(objects)
    with b.mount("small") as m:
        mount_list = b.file_list("mount.list", [m.dir / key for key, _ in objects])
        b.loops("readers", 8, mount_list)
        b.loops("small", mount_list, 2)
        base, ours = b.take_turns(
            min,
            lambda: b.loops("small", native_list, 10) / 1e3,
            lambda: b.loops("small", mount_list, 10) / 1e3,
        )
    b.row("warm open+read+close, 4 KiB", "us", base, ours, "<= 20 us", lambda _, o: o <= 20)


def bench_large(b):
    """Warm: one large file, at random places and from end to end."""
    native = b.folder / "large"
    random_file(native, LARGE)
    b.gateway.put("large", native.read_bytes())
    with b.mount("large-warm") as m:
        ours = m.dir / "large"
        b.loops("sequential", ours, 1 << 20)
        wait_until_resident(ours)
        sides = [lambda p=p: 1e6 / b.loops("random", p, 200_000, SMALL) for p in (native, ours)]
        base, value = b.take_turns(max, *sides)
        b.row("warm random reads, 4 KiB", "k/s", base, value, ">= 0.9 of native", lambda n, o: o >= 0.9 * n)
        sides = [
            lambda p=p: per_second(LARGE / 1e6, b.loops("sequential", p, 1 << 20)) for p in (native, ours)
        ]
        base, value = b.take_turns(max, *sides)
        b.row("warm sequential reads", "MB/s", base, value, ">= 0.9 of native", lambda n, o: o >= 0.9 * n)
    native.unlink()


def wait_until_resident(path):
    """A body is verified when its last byte came; from then on it is read in place."""
    until = time.monotonic() + 30
    while b"warm" not in os.getxattr(path, "user.cogfs.tiers") and time.monotonic() < until:
        time.sleep(0.1)


def curl_to_file(b, parts):
    """One curl, or several that take a range each: MB/s."""
    url, out, step = b.gateway.get_url("cold"), b.folder / "curl.out", LARGE // parts
    begin = time.monotonic_ns()
    running = []
    for i in range(parts):
        span = f"{i * step}-{(i + 1) * step - 1}"
        command = ["curl", "-sS", "-f", "-r", span, "-o", f"{out}.{i}", url]
        running.append(subprocess.Popen(command))
    if any(process.wait() for process in running):
        raise RuntimeError("curl failed")
    taken = time.monotonic_ns() - begin
    for i in range(parts):
        os.unlink(f"{out}.{i}")
    return per_second(LARGE / 1e6, taken)


def bench_cold_large(b):
    """Cold: 512 MiB from the store to the reader (and to the disk tier)."""
    b.gateway.put("cold", os.urandom(1 << 20) * (LARGE >> 20))
    number = iter(range(1000))

    def ours():
        with b.mount(f"cold-{next(number)}") as m:
            return per_second(LARGE / 1e6, b.loops("sequential", m.dir / "cold", 1 << 20))

    one, eight, value = b.take_turns(max, lambda: curl_to_file(b, 1), lambda: curl_to_file(b, 8), ours)
    name = f"cold sequential, 512 MiB (curl 1: {one:.0f}, 8: {eight:.0f})"
    b.row(name, "MB/s", max(one, eight), value, ">= 0.8 of curl", lambda n, o: o >= 0.8 * n)


def bench_cold_small(b):
    """Cold: 4 KiB objects, 16 readers."""
    objects = small_objects("many")
    b.gateway.put_many(objects)
    url_list = b.file_list("urls.list", [b.gateway.get_path(key) for key, _ in objects])
    number = iter(range(1000))

    def ours():
        with b.mount(f"many-{next(number)}") as m:
            paths = b.file_list("many.list", [m.dir / key for key, _ in objects])
            return per_second(SMALL_COUNT, b.loops("readers", READERS, paths))

    base, value = b.take_turns(
        max, lambda: per_second(SMALL_COUNT, b.loops("http", READERS, b.gateway.port, url_list)), ours
    )
    b.row("cold 4 KiB files, 16 readers", "/s", base, value, ">= 0.5 of keep-alive", lambda n, o: o >= 0.5 * n)


def write_files(folder):
    """Files a second that are created, written and closed."""
    folder.mkdir()
    data = os.urandom(SMALL)
    begin = time.monotonic_ns()
    for i in range(SMALL_COUNT):
        with open(folder / f"f{i}", "wb", buffering=0) as file:
            file.write(data)
    return per_second(SMALL_COUNT, time.monotonic_ns() - begin)


def bench_write(b):
    """New 4 KiB files. No aim: beside a native directory, each close is journalled and survives kill -9."""
    native = b.folder / "written"
    native.mkdir()
    number, other = iter(range(1000)), iter(range(1000))
    with b.mount("write") as m:
        base, value = b.take_turns(
            max, lambda: write_files(native / str(next(number))), lambda: write_files(m.dir / str(next(other)))
        )
        m.flush()
    b.row("create+write+close, 4 KiB", "/s", base, value, "", None)


def bench_memory(b):
    """The daemon's memory, idle and with many objects known."""
    store = b.folder / "known"
    for i in range(KNOWN):
        if i % 1000 == 0:
            (store / str(i // 1000)).mkdir(parents=True)
        (store / str(i // 1000) / f"object-{i}.json").touch()
    with b.mount("memory", {"name": "cold", "type": "dir", "path": str(store)}) as m:
        time.sleep(1)
        idle = m.rss()
        b.row("memory, idle", "MiB", None, idle / (1 << 20), "<= 64 MiB", lambda _, o: o <= 64)
        for folder, _, names in os.walk(m.dir):
            for name in names:
                os.lstat(os.path.join(folder, name))
        known = m.stats()["objects_known"]
        each = (m.rss() - idle) / known
        name = f"memory, each of {known} known objects"
        b.row(name, "bytes", None, each, "<= 400 bytes", lambda _, o: o <= 400)
    shutil.rmtree(store)


PARTS = {
    "small": [bench_small],
    "large": [bench_large],
    "cold": [bench_cold_large, bench_cold_small],
    "write": [bench_write],
    "memory": [bench_memory],
}


# --- the table ---


def shown(value):
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def print_row(row):
    base, ours = row["baseline"], row["cogfs"]
    ratio = f"{ours / base:.2f}" if base else "-"
    mark = {True: "yes", False: "NO", None: ""}[row["reached"]]
    print(
        f"{row['name']:<50} {shown(base):>9} {shown(ours):>9} {row['unit']:<6} {ratio:>6}  {row['aim']:<20} {mark}",
        flush=True,
    )


def print_head():
    print(f"{'':<50} {'baseline':>9} {'cogfs':>9} {'unit':<6} {'ratio':>6}  {'aim':<20} reached")


def check_machine():
    if os.geteuid() != 0:
        sys.exit("bench: the rows mount: run as root")
    for what, found in (("cogfs", find_cogfs()), ("versitygw", find_versitygw()), ("curl", shutil.which("curl"))):
        if not found:
            sys.exit(f"bench: there is no {what}; see the head of this file")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--passthrough", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", default="/var/tmp")
    options = parser.parse_args()
    check_machine()
    print(f"{find_cogfs()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    print(subprocess.run([find_cogfs(), "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout)
    with tempfile.TemporaryDirectory(prefix="cogfs-bench-", dir=options.dir) as folder:
        bench = Bench(folder, options.rounds, options.passthrough)
        try:
            print_head()
            for part in options.only or PARTS:
                for rows in PARTS[part]:
                    rows(bench)
        finally:
            bench.gateway.close()
    if options.json:
        report = {"machine": list(os.uname()), "cpus": os.cpu_count(), "rows": bench.rows}
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Who makes way for whom: shares of classes, priorities, policies, what RAM hands down; limits hold all along."""

import json
import os
import signal
import threading
from pathlib import Path

from lib.mounts import cogfs
from lib.wait import eventually

MIB = 1 << 20


class ClassSampler:
    """Looks all along at how many bodies and bytes there are below each directory of the disk tier."""

    def __init__(self, mount, *names):
        self.root = Path(mount.cache) / "objects"
        self.files, self.bytes, self.samples = dict.fromkeys(names, 0), dict.fromkeys(names, 0), 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _look(self, name):
        files = size = 0
        for folder, _, found in os.walk(self.root / name):
            for file in found:
                try:
                    size += os.lstat(os.path.join(folder, file)).st_blocks * 512
                except OSError:
                    continue
                files += 1
        self.files[name], self.bytes[name] = max(self.files[name], files), max(self.bytes[name], size)

    def _run(self):
        while not self.done.wait(0.003):
            for name in self.files:
                self._look(name)
            self.samples += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        assert self.samples > 1


def fill_store(store, prefix, count, size=MIB):
    block = os.urandom(size)
    objects = {f"{prefix}/{i:03}": b"%s%08d" % (prefix.encode(), i) + block[8 + len(prefix):] for i in range(count)}
    store.put_many(objects)
    return objects


def read_all(mount, objects, threads=4):
    names, problems = list(objects), []

    def read(part):
        for key in part:
            try:
                if (mount / key).read_bytes() != objects[key]:
                    problems.append(key)
            except OSError as error:
                problems.append((key, error))

    workers = [threading.Thread(target=read, args=(names[n::threads],)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not problems


def bodies(mount, prefix):
    """What is on the disk of a class, by name."""
    root = Path(mount.cache) / "objects" / prefix
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def mount_with(new_mount, store, *classes, **more):
    return new_mount("a", store, config={"classes": [*classes]}, **more)


def test_share_of_a_class(new_mount, store):
    """Read and written by many, a class keeps below its share at every moment, and nobody else leaves for it."""
    part, rest = fill_store(store, "part", 40), fill_store(store, "rest", 10)
    a = mount_with(new_mount, store, {"name": "part", "match": "part/**", "max_size": "8MiB"})
    read_all(a, rest)
    with ClassSampler(a, "part") as sampler:
        read_all(a, part)
    assert 4 * MIB <= sampler.bytes["part"] <= 8 * MIB
    with ClassSampler(a, "part") as sampler:
        for i in range(20):
            (a / f"part/new{i}").write_bytes(b"%04d" % i * (MIB // 4))
        a.flush()
        read_all(a, part)
    # The store's version may make a written file's record too large for its inode: a block more.
    assert 4 * MIB <= sampler.bytes["part"] <= 8 * MIB + 8 * 4096
    assert len(bodies(a, "rest")) == 10
    told = a.stats()
    assert told["classes"]["part"]["evictions"] == told["backends"]["warm"]["evictions"] > 40
    assert told["classes"]["default"]["evictions"] == 0
    gone = next(key for key in part if key[5:] not in bodies(a, "part"))
    kept = json.loads(cogfs("explain", "--json", a / gone).stdout)["kept"]
    assert kept == "no: it was evicted for others of its class or tenant, which has no more of warm"


def test_max_objects_of_a_class(new_mount, store):
    """A class's max_objects holds at every moment, in each tier its own."""
    objects = fill_store(store, "few", 60, 5000)
    limits = {"ram": {"max_objects": 4, "admission": "always"}, "warm": {"max_objects": 10}, "cold": {}}
    a = mount_with(new_mount, store, {"name": "few", "match": "few/**", "tiers": limits})
    with ClassSampler(a, "few") as sampler:
        for _ in range(3):
            read_all(a, objects)
            assert a.stats()["backends"]["ram"]["total_files"] <= 4
    assert 5 <= sampler.files["few"] <= 10


def test_none_and_priorities(new_mount, store):
    """What may never leave stays; of the rest the least worth goes first."""
    stay, dear, cheap = (fill_store(store, name, 8) for name in ("stay", "dear", "cheap"))
    more = fill_store(store, "other", 12)
    a = mount_with(
        new_mount, store,
        {"name": "stay", "match": "stay/**", "eviction": "none"},
        {"name": "dear", "match": "dear/**", "priority": 90},
        {"name": "cheap", "match": "cheap/**", "priority": 10},
        disk={"max_size": "20MiB"},
    )  # fmt: skip
    with ClassSampler(a, "") as sampler:
        for objects in (stay, dear, cheap):
            read_all(a, objects, threads=1)
        assert len(bodies(a, "stay")) == 8 and len(bodies(a, "dear")) == 8
        read_all(a, more, threads=1)
        eventually(lambda: not bodies(a, "cheap"), what="the end of what is cheap")
        assert len(bodies(a, "stay")) == 8 and len(bodies(a, "dear")) == 8
    assert sampler.bytes[""] <= 20 * MIB


def test_orders(new_mount, store):
    """fifo minds no use, lru the last one, lfu how often, ttl the end."""
    names = ("fifo", "lru", "lfu", "ttl")
    classes = [{"name": n, "match": f"{n}/**", "eviction": n, "max_objects": 3} for n in names]
    a = mount_with(new_mount, store, *classes)
    for name in names:
        (a / name).mkdir()
        for i in (0, 1, 2):
            (a / name / str(i)).write_bytes(b"bytes")
            a.flush()
        if name == "ttl":
            os.setxattr(a / name / "1", "user.cogfs.ttl", b"500")
        for _ in range(4 if name == "lfu" else 1):
            (a / name / "0").read_bytes()
        if name == "lfu":
            for i in (1, 2):
                (a / name / str(i)).read_bytes()
            (a / name / "2").read_bytes()
        a.flush()
        (a / name / "3").write_bytes(b"bytes")
        a.flush()
    assert [bodies(a, n) for n in names] == [["1", "2", "3"], ["0", "2", "3"], ["0", "2", "3"], ["0", "2", "3"]]


def test_room_is_made_ahead(new_mount, store):
    """Once a tier is nearly full, room is made behind: below the limit, and with no reader that waits for it."""
    objects = fill_store(store, "o", 64)
    a = new_mount("a", store, disk={"max_size": "64MiB"})
    read_all(a, objects)
    eventually(lambda: a.stats()["backends"]["warm"]["size_bytes"] <= 62 * MIB, what="room made ahead")
    assert a.stats()["backends"]["warm"]["size_bytes"] >= 58 * MIB


def test_ram_hands_down(new_mount, store):
    """on_evict: demote: what RAM alone has goes to the disk, within the class's share of it."""
    objects = fill_store(store, "o", 12)
    a = mount_with(
        new_mount, store,
        {"name": "o", "match": "o/**", "tiers": {"ram": {}, "warm": {"max_objects": 3}, "cold": {}}},
        ram={"max_size": "8MiB", "admit": "always", "on_evict": "demote"},
    )  # fmt: skip
    with ClassSampler(a, "o") as sampler:
        for _ in range(10):
            read_all(a, objects, threads=1)
            if a.counter("demotions"):
                break
    assert a.counter("demotions") > 0
    assert sampler.files["o"] <= 3
    read_all(a, objects)


def test_limits_that_change(new_mount, store):
    """SIGHUP: smaller shares are kept soon, and what came to another class counts there; so does what is renamed."""
    objects = fill_store(store, "p", 20)
    a = mount_with(new_mount, store, {"name": "p", "match": "p/**", "max_objects": 30})
    read_all(a, objects)
    assert len(bodies(a, "p")) == 20
    a.configure(config={"classes": [{"name": "p", "match": "p/**", "max_objects": 6}]})
    a.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(bodies(a, "p")) == 6, 20, "the new limit is kept")
    a.configure(config={"classes": [{"name": "q", "match": "p/*", "max_objects": 2}]})
    a.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(bodies(a, "p")) == 2, 30, "the new class's limit is kept")
    (a / "x").write_bytes(b"x")
    os.rename(a / "x", a / "p/x")
    a.flush()
    eventually(lambda: len(bodies(a, "p")) == 2, 20, "the limit is kept after a rename")

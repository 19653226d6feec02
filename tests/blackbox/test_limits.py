# SPDX-License-Identifier: Apache-2.0
"""Limits hold at every moment: disk full, RAM full, many objects, much that is dirty."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lib.wait import SLOW, bounded, eventually, read_file

MIB = 1 << 20


class Sampler:
    """Looks all along at what the disk tier takes and at what is left free."""

    def __init__(self, root):
        self.root = Path(root)
        self.most, self.least_free, self.samples = 0, 1 << 62, 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _used(self):
        total, seen = 0, set()
        for part in ("objects", "partial", "open", "staging"):
            for folder, _, files in os.walk(self.root / part):
                for name in files:
                    try:
                        st = os.lstat(os.path.join(folder, name))
                    except OSError:
                        continue
                    # What waits for its upload has two names.
                    if st.st_ino not in seen:
                        seen.add(st.st_ino)
                        total += st.st_blocks * 512
        return total

    def _run(self):
        while not self.done.wait(0.005):
            vfs = os.statvfs(self.root)
            self.least_free = min(self.least_free, vfs.f_bavail * vfs.f_frsize)
            self.most = max(self.most, self._used())
            self.samples += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        assert self.samples > 5


@pytest.fixture
def small_disk(base, request):
    """A tmpfs of 64 MiB."""
    path = base / f"small-{request.node.name[:30]}"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def small(new_mount, store, small_disk):
    """A mount whose cache is on the small disk; it is ended before the disk goes."""

    def make(disk=None, ram=False, **config):
        return new_mount(
            "a", store, ram=ram, disk={"path": str(small_disk), **(disk or {})},
            config={"cache_dir": str(small_disk), **config},
        )  # fmt: skip

    make.path = small_disk
    return make


def fill_store(store, count, size, prefix="o"):
    """Objects that differ, as {key: bytes}."""
    block = os.urandom(size)
    objects = {f"{prefix}/{i:03}": b"%08d" % i + block[8:] for i in range(count)}
    store.put_many(objects)
    return objects


def test_reading_more_than_fits(small, store):
    """Reading three times what the disk tier may hold: every byte is right, max_size is never exceeded."""
    objects = fill_store(store, 48, 2 * MIB)
    a = small(disk={"max_size": "32MiB"})
    with Sampler(small.path) as sampler:
        for key, data in objects.items():
            assert (a / key).read_bytes() == data
        for key in list(objects)[::5]:
            assert (a / key).read_bytes() == objects[key]
    assert sampler.most <= 32 * MIB
    assert a.counter("evictions") > 0


def test_min_free(small, store):
    """min_free stays free on the filesystem, whatever is read by however many."""
    objects = fill_store(store, 40, 2 * MIB)
    a = small(disk={"max_size": "1GiB", "min_free": "16MiB"})
    names = list(objects)
    problems = []

    def read(part):
        for key in part:
            if (a / key).read_bytes() != objects[key]:
                problems.append(key)

    with Sampler(small.path) as sampler:
        threads = [threading.Thread(target=read, args=(names[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not problems
    assert sampler.least_free >= 16 * MIB


def test_object_larger_than_the_tier(small, store):
    """An object that does not fit streams through, right, and the limit holds."""
    data = os.urandom(MIB) * 50
    store.put("huge", data)
    a = small(disk={"max_size": "16MiB"})
    with Sampler(small.path) as sampler:
        assert (a / "huge").read_bytes() == data
        with open(a / "huge", "rb") as file:
            file.seek(40 * MIB + 5)
            assert file.read(1000) == data[5:1005]
    assert sampler.most <= 16 * MIB


def test_max_objects(small, store):
    """max_objects holds."""
    objects = fill_store(store, 60, 1000)
    a = small(disk={"max_size": "32MiB", "max_objects": 20})
    for key, data in objects.items():
        assert (a / key).read_bytes() == data
        held = sum(len(files) for _, _, files in os.walk(small.path / "objects"))
        assert held <= 20


def test_writing_more_than_fits(small, store):
    """Writing more than the disk holds goes on as the store takes it: writers wait, none fails."""
    a = small(disk={"max_size": "32MiB"}, write={"upload_delay": "0ms"})
    block = os.urandom(2 * MIB)
    with Sampler(small.path) as sampler:
        for i in range(40):
            (a / f"f{i}").write_bytes(b"%04d" % i + block[4:])
        a.flush(within=120)
    assert sampler.most <= 32 * MIB
    assert len(store.keys()) == 40
    for i in (0, 20, 39):
        assert (a / f"f{i}").read_bytes() == b"%04d" % i + block[4:]


def test_write_through_on_a_full_disk(small, store):
    """write: through goes on when the disk tier is full of clean objects."""
    objects = fill_store(store, 20, 2 * MIB)
    a = small(disk={"max_size": "24MiB"}, write="through")
    for key in objects:
        (a / key).read_bytes()
    for i in range(10):
        (a / f"w{i}").write_bytes(b"%d" % i * 2 * MIB)
        assert store.keys()[f"w{i}"] == 2 * MIB


@pytest.mark.s3
def test_max_dirty_holds_writers_back(new_mount, store):
    """At max_dirty a writer waits while the store is away, and goes on when it is back."""
    a = new_mount("a", store, config={"write": {"max_dirty": "4MiB", "upload_delay": "0ms"},
                                      "mount": {"list_ttl": "1h"}})  # fmt: skip
    os.listdir(a.dir)  # so that new names need no question
    a.proxy.stop()
    writer = subprocess.Popen(
        ["sh", "-c", 'for i in 1 2 3 4 5 6; do head -c 2000000 /dev/zero > "$0/f$i" || exit 1; done', a.dir]
    )
    try:
        time.sleep(2)
        assert writer.poll() is None, "the writer was not held back"
        assert a.counter("dirty_bytes") <= 4 * MIB
        a.proxy.heal()
        assert writer.wait(60 * SLOW) == 0
    finally:
        writer.kill()
        writer.wait()
    a.flush()
    assert set(store.keys().values()) == {2000000} and len(store.keys()) == 6


def test_dirty_is_never_evicted(small, store):
    """What is not in the store yet stays, however much is read beside it."""
    objects = fill_store(store, 30, 2 * MIB)
    a = small(disk={"max_size": "24MiB"}, write={"upload_delay": "1h", "drain_deadline": "1s"})
    (a / "dirty").write_bytes(b"d" * 6 * MIB)
    for key, data in objects.items():
        assert (a / key).read_bytes() == data
    assert (a / "dirty").read_bytes() == b"d" * 6 * MIB
    assert a.xattrs("dirty")["user.cogfs.state"] == b"dirty"
    a.flush()
    assert store.get("dirty") == b"d" * 6 * MIB


def test_open_files_outlive_eviction(small, store):
    """A file that is open stays readable while others push everything out; its room counts."""
    objects = fill_store(store, 30, 2 * MIB)
    a = small(disk={"max_size": "24MiB"})
    first = next(iter(objects))
    with Sampler(small.path) as sampler, open(a / first, "rb") as file:
        assert file.read(8) == objects[first][:8]
        for key in objects:
            assert (a / key).read_bytes() == objects[key]
        file.seek(0)
        assert file.read() == objects[first]
    assert sampler.most <= 24 * MIB


def test_touched_objects_stay(small, store):
    """A touch moves an object to the end of the eviction order: what is touched on each read stays here."""
    objects = fill_store(store, 40, MIB)
    a = small(disk={"max_size": "12MiB"})
    kept = next(iter(objects))
    (a / kept).read_bytes()
    before = a.xattrs(kept)["user.cogfs.tiers"]
    assert b"warm" in before
    for key in list(objects)[1:]:
        os.utime(a / kept)
        (a / key).read_bytes()
    assert a.xattrs(kept)["user.cogfs.tiers"] == before


class RamSampler(Sampler):
    """Looks all along at what the RAM tier takes: as cogfs counts, and as its tmpfs does."""

    def __init__(self, mount, size):
        self.mount, self.size = mount, size
        super().__init__("/")

    def _used(self):
        said = self.mount.stats()["backends"]["ram"]["size_bytes"]
        fds = Path(f"/proc/{self.mount.stats()['manager']['pid']}/fd")
        for fd in os.listdir(fds):
            try:
                vfs = os.statvfs(fds / fd)
            except OSError:
                continue
            if vfs.f_blocks * vfs.f_frsize == self.size:  # nothing else is that small
                return max(said, (vfs.f_blocks - vfs.f_bfree) * vfs.f_frsize)
        return said


def in_ram(mount, key):
    return mount.xattrs(key)["user.cogfs.tiers"].startswith(b"ram")


def test_ram_full(new_mount, store):
    """Always admitted: what is read gets a copy in RAM, below its limit, and is read from there."""
    objects = fill_store(store, 40, MIB)
    a = new_mount("a", store, ram={"max_size": "8MiB", "admit": "always"})
    with RamSampler(a, 8 * MIB) as sampler:
        for _ in range(3):
            for key, data in objects.items():
                assert (a / key).read_bytes() == data
        last = list(objects)[-1]
        # While all room is taken by copies under way there is none for this one: it is tried at each open.
        eventually(lambda: in_ram(a, last) or not (a / last).read_bytes(), what="the copy in RAM")
        before = a.counter("hits_ram")
        assert (a / last).read_bytes() == objects[last]
        assert a.counter("hits_ram") == before + 1
    assert MIB <= sampler.most <= 8 * MIB
    assert a.counter("promotions") >= 8


def test_ram_second_hit(new_mount, store):
    """Admitted on the second hit: what is opened once stays on the disk, what comes again is copied."""
    objects = fill_store(store, 20, MIB)
    a = new_mount("a", store, ram={"max_size": "8MiB", "admit": "second_hit"})
    names = list(objects)
    with RamSampler(a, 8 * MIB) as sampler:
        for key in names:
            assert (a / key).read_bytes() == objects[key]
        assert a.counter("hits_ram") == 0 and not any(in_ram(a, key) for key in names)
        for key in names[:4]:
            assert (a / key).read_bytes() == objects[key]
            eventually(lambda key=key: in_ram(a, key), what="the copy in RAM")
        assert a.counter("hits_disk") == 4 and a.counter("hits_ram") == 0
        for key in names[:4]:
            assert (a / key).read_bytes() == objects[key]
            assert a.xattrs(key)["user.cogfs.tier"] == b"ram"
        assert a.counter("hits_ram") == 4
        for key in names[4:]:
            assert (a / key).read_bytes() == objects[key]
    assert sampler.most <= 8 * MIB


def test_ram_beside_an_open_file(new_mount, store):
    """Whoever has an object open on the disk goes on, and so does who joins; the next ones read RAM."""
    objects = fill_store(store, 1, MIB)
    key, data = next(iter(objects.items()))
    a = new_mount("a", store, ram={"max_size": "8MiB", "admit": "always"})
    with open(a / key, "rb") as first:
        assert first.read() == data
        eventually(lambda: b"ram" in a.xattrs(key)["user.cogfs.tiers"], what="the copy in RAM")
        for _ in range(5):
            assert (a / key).read_bytes() == data
        first.seek(1000)
        assert first.read(1000) == data[1000:2000]
    eventually(lambda: (a / key).read_bytes() == data and a.counter("hits_ram") > 0, what="a hit in RAM")
    with open(a / key, "r+b") as file:
        file.seek(5)
        file.write(b"changed")
    changed = data[:5] + b"changed" + data[12:]
    assert (a / key).read_bytes() == changed
    a.flush()
    assert store.get(key) == changed
    for _ in range(3):
        assert (a / key).read_bytes() == changed


def test_disk_and_ram_full(small, store):
    """With both tiers far too small for what four readers ask for, all is right and both limits hold."""
    objects = fill_store(store, 40, 2 * MIB)
    a = small(disk={"max_size": "24MiB"}, ram={"max_size": "8MiB", "admit": "always"})
    names = list(objects)
    problems = []

    def read(part):
        for key in part + part[::-1]:
            if (a / key).read_bytes() != objects[key]:
                problems.append(key)

    with Sampler(small.path) as disk, RamSampler(a, 8 * MIB) as ram:
        threads = [threading.Thread(target=read, args=(names[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not problems
    assert disk.most <= 24 * MIB and ram.most <= 8 * MIB
    assert a.counter("promotions") > 0


def test_ram_alone_second_hit(new_mount, store):
    """Without a disk a first read streams through, and the second is kept, below the limit."""
    objects = fill_store(store, 12, MIB)
    a = new_mount("a", store, disk=False, ram={"max_size": "8MiB", "admit": "second_hit"})
    names = list(objects)
    with RamSampler(a, 8 * MIB) as sampler:
        for key in names:
            assert (a / key).read_bytes() == objects[key]
        assert not any(in_ram(a, key) for key in names)
        for key in names:
            assert (a / key).read_bytes() == objects[key]
        assert in_ram(a, names[-1])
        assert (a / names[-1]).read_bytes() == objects[names[-1]]
        assert a.counter("hits_ram") == 1
    assert sampler.most <= 8 * MIB


def test_ram_outlives_the_worker(new_mount, store):
    """A killed worker's copies in RAM are found again, and count."""
    objects = fill_store(store, 4, MIB)
    a = new_mount("a", store, ram={"max_size": "8MiB", "admit": "always"})
    for key, data in objects.items():
        assert (a / key).read_bytes() == data
        eventually(lambda key=key: in_ram(a, key), what="the copy in RAM")
    a.kill_worker()
    for key, data in objects.items():
        assert (a / key).read_bytes() == data
    eventually(lambda: all(in_ram(a, key) for key in objects), what="the copies")
    assert a.stats()["backends"]["ram"]["size_bytes"] <= 8 * MIB
    assert a.stats()["backends"]["ram"]["total_files"] == 4


def test_ttl_of_a_tier(new_mount, store):
    """A copy that is over its tier's ttl goes by itself; the object stays, and is had again."""
    objects = fill_store(store, 3, MIB)
    a = new_mount("a", store, disk={"ttl": "3s"}, ram={"max_size": "8MiB", "admit": "always"})
    for key, data in objects.items():
        assert (a / key).read_bytes() == data
    eventually(lambda: a.stats()["backends"]["warm"]["total_files"] == 0, within=20, what="the end of the copies")
    assert a.stats()["backends"]["ram"]["total_files"] == 0
    for key, data in objects.items():
        assert (a / key).read_bytes() == data
    assert store.keys() == {key: MIB for key in objects}


def test_no_disk_tier(new_mount, store):
    """With RAM only, reading and writing work."""
    objects = fill_store(store, 20, MIB)
    a = new_mount("a", store, disk=False, ram={"max_size": "8MiB", "admit": "always"})
    for key, data in objects.items():
        assert (a / key).read_bytes() == data
    (a / "w").write_bytes(b"written" * 1000)
    a.flush()
    assert store.get("w") == b"written" * 1000


def test_disk_full_by_others(small, store):
    """When somebody else fills the disk, reads go on, and a write fails or waits, but breaks nothing."""
    objects = fill_store(store, 10, 2 * MIB)
    a = small(disk={"max_size": "60MiB", "min_free": "1MiB"})
    (a / "before").write_bytes(b"kept" * 1000)
    a.flush()
    free = os.statvfs(small.path)
    with open(small.path / "ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 64 * 1024)
    for key, data in objects.items():
        outcome = bounded(read_file, a / key, within=30)
        assert outcome.value == data, outcome
    assert (a / "before").read_bytes() == b"kept" * 1000
    os.unlink(small.path / "ballast")

    def writes():
        (a / "after").write_bytes(b"x" * MIB)
        return True

    eventually(writes, what="writing after room was made")
    a.flush()
    assert store.get("after") == b"x" * MIB

# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the worker, and of everything, at random moments."""

import os
import random
import signal
import subprocess
import time

import pytest

from lib.crash import Account, Worker, digest, found_in
from lib.mounts import mounted_at
from lib.wait import SLOW, eventually

ROUNDS = int(os.environ.get("COGFS_TEST_ROUNDS", "20"))
SEED = int(os.environ.get("COGFS_TEST_SEED", "4711"))
KINDS = ("create", "replace", "rename", "unlink", "move_tree", "hold", "read")


# --- the worker alone ---


def start_reader(path, data, report):
    """A process that reads one open file at random places until it is killed; a difference ends it."""
    pid = os.fork()
    if pid:
        return pid
    rng = random.Random(os.getpid())
    code = 1
    try:
        with open(path, "rb", buffering=0) as file:
            while True:
                at = rng.randrange(len(data))
                if os.pread(file.fileno(), 5000, at) != data[at : at + 5000]:
                    os.write(report, b"wrong bytes\n")
                    break
    except OSError as error:
        os.write(report, f"{error}\n".encode())
    finally:
        os._exit(code)


def test_readers_go_on(new_mount, store):
    """Processes that have files open read on through ten deaths of the worker, and new opens work."""
    data = os.urandom(3 << 20)
    a = new_mount("a", store)
    (a / "f").write_bytes(data)
    a.flush()
    assert (a / "f").read_bytes() == data
    report = os.open(a.base / "report", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    readers = [start_reader(a / "f", data, report) for _ in range(4)]
    workers = set()
    try:
        for _ in range(10):
            time.sleep(0.1)
            workers.add(a.kill_worker())
            assert (a / "f").read_bytes() == data
            assert os.listdir(a.dir) == ["f"]
    finally:
        for reader in readers:
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)
        os.close(report)
    assert (a.base / "report").read_text() == ""
    assert len(workers) == 10
    assert a.counter("worker_restarts") >= 1


def test_names_survive_the_worker(new_mount, store):
    """Everything that was made before the worker died is there after it, with the same inodes."""
    a = new_mount("a", store, config={"write": {"upload_delay": "1h", "drain_deadline": "1s"}})
    for i in range(20):
        (a / f"d{i % 3}").mkdir(exist_ok=True)
        (a / f"d{i % 3}/{i}").write_bytes(b"%d" % i * 100)
    os.rename(a / "d0", a / "renamed")
    os.unlink(a / "d1/1")
    before = found_in(a.dir)
    inodes = {name: os.stat(a / name).st_ino for name in before}
    a.kill_worker()
    assert found_in(a.dir) == before
    assert {name: os.stat(a / name).st_ino for name in before} == inodes
    a.flush()
    assert set(store.keys()) >= set(before)


def test_unlinked_open_file_survives_the_worker(new_mount, store):
    """A file that lost its name is read on by who has it open, after the worker's death too."""
    data = os.urandom(500_000)
    a = new_mount("a", store)
    (a / "f").write_bytes(data)
    a.flush()
    assert (a / "f").read_bytes() == data
    with open(a / "f", "rb", buffering=0) as file:
        os.unlink(a / "f")
        a.kill_worker()
        assert file.read(len(data)) == data
        assert os.fstat(file.fileno()).st_size == len(data)
    assert not (a / "f").exists()


def test_writer_goes_on_after_the_worker(new_mount, store):
    """A writer that has its file open over the worker's death writes on; the whole file arrives."""
    a = new_mount("a", store)
    with open(a / "f", "wb", buffering=0) as file:
        for i in range(30):
            file.write(b"%03d\n" % i)
            if i % 10 == 5:
                a.kill_worker()
    expected = b"".join(b"%03d\n" % i for i in range(30))
    assert (a / "f").read_bytes() == expected
    a.flush()
    assert store.get("f") == expected


def test_fill_goes_on_after_the_worker(new_mount, store):
    """A big object that is being read when the worker dies is read right to its end."""
    data = os.urandom(1 << 20) * 24
    store.put("big", data)
    a = new_mount("a", store)
    if a.proxy:
        a.proxy.fail(delay=0.05)
    with open(a / "big", "rb", buffering=0) as file:
        got = file.read(1 << 20)
        a.kill_worker()
        while chunk := file.read(1 << 20):
            got += chunk
    assert got == data
    assert (a / "big").read_bytes() == data


# --- both ---


def restart(mount):
    """Mounts again over what the crash left, as an administrator would."""
    mount.start(within=40)


def cut(mount, method, at):
    """How many requests were under way at a moment."""
    seen = mount.proxy.seen(method) if mount.proxy else []
    return sum(r.began <= at and (r.answered is None or r.answered > at) for r in seen)


@pytest.mark.timeout((60 + 10 * ROUNDS) * SLOW)
def test_everything_killed(new_mount, store):
    """
    kill -9 of both processes at random moments, while files are written, replaced, renamed, deleted, uploaded
    and filled: every file whose close returned is there with its bytes, and none that was never closed.
    """
    rng = random.Random(SEED)
    cold = {f"cold/{i}": os.urandom(200_000) for i in range(8 * ROUNDS)}
    store.put_many(cold)
    digests = {key: digest(data) for key, data in cold.items()}
    keys = list(cold)
    a = new_mount("a", store, config={"write": {"upload_delay": "20ms"}})
    (a / "work").mkdir()
    account = Account()
    hits = []
    for n in range(ROUNDS):
        if a.proxy:
            a.proxy.fail(delay=0.02)
        logs = [a.base / f"log-{n}-{kind}" for kind in KINDS]
        reading = {key: digests[key] for key in keys[8 * n : 8 * n + 8]}
        workers = [
            Worker(a / "work", log, kind, n, reading) for log, kind in zip(logs, KINDS, strict=True)
        ]
        time.sleep(rng.uniform(0.15, 0.7) * SLOW)
        killed = time.monotonic()
        a.kill_both()
        for worker in workers:
            worker.stop()
        for log in logs:
            account.read(log)
        hits.append((len(account.in_flight), cut(a, "PUT", killed), cut(a, "GET", killed)))
        restart(a)
        if a.proxy:
            a.proxy.heal()
        problems = account.settle(found_in(a / "work"))
        assert not problems, f"round {n}: {problems[:10]}"
    print("in flight when killed (calls, uploads, downloads):", hits)
    assert all(calls > 0 for calls, _, _ in hits), f"a round hit nothing: {hits}"
    if a.proxy:
        assert any(uploads for _, uploads, _ in hits), f"no upload was hit: {hits}"
        assert any(downloads for _, _, downloads in hits), f"no fill was hit: {hits}"
    a.flush(within=120)
    stored = {key[5:]: key for key in store.keys("work/") if not key.endswith("/")}
    expected = found_in(a / "work")
    assert stored.keys() == expected.keys()
    assert all(digest(store.get(key)) == expected[name] for name, key in stored.items())
    assert {key: digest(store.get(key)) for key in keys} == digests


def test_empty_files(new_mount, store):
    """An empty file that was closed survives; one that a shell made for a command that still runs does not."""
    a = new_mount("a", store, config={"write": {"upload_delay": "1h"}})
    command = subprocess.Popen(["sh", "-c", f"sleep 1000 > {a / 'half'}"], start_new_session=True)
    try:
        eventually(lambda: (a / "half").exists(), what="the redirection")
        for i in range(20):
            os.close(os.open(a / f"empty{i}", os.O_WRONLY | os.O_CREAT))
        a.kill_both()
    finally:
        os.killpg(command.pid, signal.SIGKILL)
        command.wait()
    restart(a)
    assert sorted(os.listdir(a.dir)) == sorted(f"empty{i}" for i in range(20))


def test_dirty_directory_rename_survives(new_mount, store):
    """A big rename that was acknowledged is finished by the next mount."""
    store.put_many({f"old/{i}": b"%d" % i for i in range(300)})
    a = new_mount("a", store)
    if a.proxy:
        a.proxy.fail(delay=0.02)
    assert len(os.listdir(a / "old")) == 300
    os.rename(a / "old", a / "new")
    time.sleep(0.3)
    a.kill_both()
    restart(a)
    assert not (a / "old").exists()
    assert len(os.listdir(a / "new")) == 300
    if a.proxy:
        a.proxy.heal()
    a.flush()
    assert set(store.keys()) == {f"new/{i}" for i in range(300)}
    assert (a / "new/123").read_bytes() == b"123"


def test_delete_survives(new_mount, store):
    """A delete that was acknowledged and not yet uploaded stays one."""
    store.put_many({f"f{i}": b"x" for i in range(10)})
    a = new_mount("a", store, config={"write": {"upload_delay": "1h"}})
    for i in range(5):
        os.unlink(a / f"f{i}")
    a.kill_both()
    restart(a)
    assert sorted(os.listdir(a.dir)) == [f"f{i}" for i in range(5, 10)]
    a.flush()
    assert set(store.keys()) == {f"f{i}" for i in range(5, 10)}


def test_fsync_of_an_open_file_survives(new_mount, store):
    """What an fsync returned for is there after a crash, though the file was never closed."""
    a = new_mount("a", store)
    fd = os.open(a / "db", os.O_RDWR | os.O_CREAT)
    try:
        os.write(fd, b"committed")
        os.fsync(fd)
        a.kill_both()
    finally:
        try:
            os.close(fd)
        except OSError:
            pass
    restart(a)
    assert (a / "db").read_bytes() == b"committed"


def test_metadata_survives(new_mount, store):
    """Modes, times, xattrs and lives that were set are there after a crash."""
    a = new_mount("a", store, config={"write": {"upload_delay": "1h"}})
    (a / "f").write_bytes(b"x")
    os.chmod(a / "f", 0o640)
    os.utime(a / "f", ns=(10**18, 10**18))
    os.setxattr(a / "f", "user.x", b"y")
    os.setxattr(a / "f", "user.cogfs.ttl", b"1000")
    os.symlink("f", a / "link")
    os.mkdir(a / "dir", 0o700)
    a.kill_both()
    restart(a)
    st = os.stat(a / "f")
    assert (st.st_mode & 0o777, st.st_mtime_ns) == (0o640, 10**18)
    assert os.getxattr(a / "f", "user.x") == b"y"
    assert 900 < int(os.getxattr(a / "f", "user.cogfs.ttl")) <= 1000
    assert os.readlink(a / "link") == "f"
    assert os.stat(a / "dir").st_mode & 0o777 == 0o700


def test_nothing_is_left_behind(new_mount, store):
    """After crashes, a clean unmount leaves no staged or partial files, and no mount."""
    a = new_mount("a", store)
    for i in range(3):
        (a / f"f{i}").write_bytes(b"x" * 100_000)
        open(a / f"half{i}", "wb").close()
        a.kill_both()
        restart(a)
    a.flush()
    a.umount()
    for folder in ("staging", "partial", "open"):
        left = eventually(lambda: [] == os.listdir(a.cache / folder) or None, what=f"an empty {folder}/")
        assert left
    assert not mounted_at(a.dir)


@pytest.mark.s3
def test_upload_is_not_lost_between_hosts(new_mount, store):
    """A host that dies in an upload leaves the store with the old or the new version, and ends with the new."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"1" * 1_000_000)
    a.flush()
    for version in b"23456":
        a.proxy.fail(delay=0.3, only=lambda r: r.method == "PUT")
        before = a.proxy.count("PUT")
        (a / "f").write_bytes(bytes([version]) * 1_000_000)
        eventually(lambda: a.proxy.count("PUT") > before, what="the upload's begin")
        a.kill_both()
        assert store.get("f") in (bytes([version]) * 1_000_000, bytes([version - 1]) * 1_000_000)
        a.proxy.heal()
        restart(a)
        assert (a / "f").read_bytes() == bytes([version]) * 1_000_000
        a.flush()
        assert store.get("f") == bytes([version]) * 1_000_000

# SPDX-License-Identifier: Apache-2.0
"""What becomes of writes: when they reach the store, in what shape, in what order."""

import errno
import json
import os
import signal
import subprocess
import threading
import time

import numpy
import pytest

from lib.mounts import cogfs
from lib.wait import SLOW, eventually, never

ALL = os.environ.get("COGFS_TEST_ALL")


def puts(mount, key):
    """Uploads of objects; the store also gets manifests."""
    return [r for r in mount.proxy.seen("PUT", key) if "/.cogfs/" not in r.path]


def in_store(store, key):
    return key in store.keys()


# --- when something is published ---


def test_flush_is_not_close(new_mount, store):
    """A descriptor that is duplicated and closed, by hand or by a fork, publishes nothing."""
    a = new_mount("a", store)
    fd = os.open(a / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"half")
    os.close(os.dup(fd))
    subprocess.run(["true"], pass_fds=[fd], check=True)
    os.close(os.dup(fd))
    never(lambda: in_store(store, "f"), during=1.0, what="half a file in the store")
    os.write(fd, b" and half")
    os.close(fd)
    eventually(lambda: in_store(store, "f"), what="the file in the store")
    assert store.get("f") == b"half and half"


@pytest.mark.parametrize("inherited", [False, True], ids=["closed-by-exec", "inherited"])
def test_forks_beside_a_writer(new_mount, store, inherited):
    """A program that runs others between the parts that it writes never publishes half an array."""
    a = new_mount("a", store)
    array = numpy.random.default_rng(1).standard_normal(500_000)
    seen = set()
    for i in range(4):
        with open(a / f"{i}.npy", "wb") as file:
            os.set_inheritable(file.fileno(), inherited)
            for part in numpy.array_split(array, 10):
                file.write(part.tobytes())
                file.flush()
                subprocess.run(["true"], close_fds=False, check=True)
                time.sleep(0.03)
                seen |= set(store.keys().values())
    a.flush()
    assert seen <= {array.nbytes}
    assert store.keys() == {f"{i}.npy": array.nbytes for i in range(4)}


@pytest.mark.s3
def test_shell_redirection_is_one_upload(new_mount, store):
    """`command > file` flushes an empty file first: what is uploaded is the whole one, once."""
    a = new_mount("a", store)
    subprocess.run(["sh", "-c", '(echo one; sleep 0.4; echo two) > "$0"', a / "out.json"], check=True)
    a.flush()
    assert store.get("out.json") == b"one\ntwo\n"
    assert len(puts(a, "out.json")) == 1


def test_temporary_names_stay_local(new_mount, store):
    """Write to a temporary name, rename: the store never sees that name."""
    a = new_mount("a", store)
    seen = set()
    for i in range(20):
        (a / f"f{i}.tmp").write_bytes(b"x" * i)
        os.rename(a / f"f{i}.tmp", a / f"f{i}")
        seen |= set(store.keys())
    a.flush()
    seen |= set(store.keys())
    assert seen == {f"f{i}" for i in range(20)}
    if store.kind == "s3":
        changes = [r for r in a.proxy.seen() if r.method not in ("HEAD", "GET")]
        assert not [r for r in changes if ".tmp" in r.target]


@pytest.mark.s3
def test_rename_of_a_file_in_upload(new_mount, store):
    """A rename while the upload is under way: the store ends with the new name only."""
    a = new_mount("a", store)
    a.proxy.fail(delay=0.7, only=lambda r: r.method == "PUT")
    (a / "old").write_bytes(b"bytes")
    eventually(lambda: puts(a, "old"), what="the upload's begin")
    os.rename(a / "old", a / "new")
    assert (a / "new").read_bytes() == b"bytes"
    a.proxy.heal()
    a.flush()
    assert store.keys() == {"new": 5}


@pytest.mark.s3
def test_quick_rewrites_cost_one_upload(new_mount, store):
    """What is written again within upload_delay is uploaded once."""
    a = new_mount("a", store, config={"write": {"upload_delay": "2s"}})
    for i in range(20):
        (a / "f").write_bytes(b"%d" % i)
    a.flush()
    assert store.get("f") == b"19"
    assert len(puts(a, "f")) == 1


@pytest.mark.s3
def test_unlinked_before_upload_costs_nothing(new_mount, store):
    """A file that is deleted before it was uploaded was never there for the store."""
    a = new_mount("a", store, config={"write": {"upload_delay": "2s"}})
    (a / "f").write_bytes(b"x" * 100000)
    os.unlink(a / "f")
    a.flush()
    assert not puts(a, "/f") and not a.proxy.seen("DELETE", "/f")
    assert store.keys() == {}


@pytest.mark.s3
def test_touch_costs_no_request(new_mount, store):
    """touch on a clean object moves its time here and is never told to the store."""
    a = new_mount("a", store, config={"mount": {"list_ttl": "1h"}})
    (a / "f").write_bytes(b"x")
    a.flush()
    os.stat(a / "f")
    before = a.proxy.count()
    for _ in range(20):
        os.utime(a / "f")
    assert time.time() - os.stat(a / "f").st_mtime < 60
    never(lambda: a.proxy.count() > before, during=1.0, what="a request")
    a.flush()
    assert a.proxy.count() == before


def test_explicit_time_travels(new_mount, store):
    """A time that somebody sets reaches the other host."""
    a, b = new_mount("a", store), new_mount("b", store)
    (a / "f").write_bytes(b"x")
    a.flush()
    os.utime(a / "f", ns=(10**18, 10**18 + 5))
    a.flush()
    eventually(lambda: os.stat(b / "f").st_mtime_ns == 10**18 + 5, what="the time")


def test_open_file_is_not_uploaded(new_mount, store):
    """A file that stays open is durable after fsync, and not in the store before it is closed."""
    a = new_mount("a", store)
    with open(a / "db", "wb") as file:
        for _ in range(5):
            file.write(b"page" * 1024)
            file.flush()
            os.fsync(file.fileno())
        never(lambda: in_store(store, "db"), during=0.7, what="an open file in the store")
    a.flush()
    assert len(store.get("db")) == 5 * 4096


def kill_in_the_middle(path):
    """A program that is killed while it writes."""
    writer = subprocess.Popen(["sh", "-c", '(echo half; sleep 1000) > "$0"', path], start_new_session=True)
    eventually(lambda: path.stat().st_size == 5, what="half a file")
    os.killpg(writer.pid, signal.SIGKILL)
    writer.wait()


def test_killed_writer_discards(new_mount, store):
    """on_kill: discard: what a killed program had half written is given up, and what was there stays."""
    a = new_mount("a", store)
    (a / "old").write_bytes(b"whole")
    a.flush()
    kill_in_the_middle(a / "new")
    kill_in_the_middle(a / "old")
    eventually(lambda: not (a / "new").exists(), what="the end of the half file")
    eventually(lambda: (a / "old").read_bytes() == b"whole", what="the old version")
    a.flush()
    assert store.keys() == {"old": 5} and store.get("old") == b"whole"


def test_killed_writer_keeps(new_mount, store):
    """on_kill: keep: what it had written counts as if it had closed."""
    a = new_mount("a", store, config={"write": {"on_kill": "keep"}})
    kill_in_the_middle(a / "new")
    eventually(lambda: "new" in store.keys(), what="the half file in the store")
    assert store.get("new") == b"half\n"


# --- changes of the tree ---


def test_rename_of_a_big_directory(new_mount, store):
    """A directory with many objects is renamed at once here, and in the end in the store."""
    count = 10000 if ALL else 1000
    store.put_many({f"old/{i % 10}/{i}": b"%d" % i for i in range(count)})
    a = new_mount("a", store)
    assert len(os.listdir(a / "old/3")) == count // 10
    begin = time.monotonic()
    os.rename(a / "old", a / "new")
    assert time.monotonic() - begin < 2 * SLOW
    assert not (a / "old").exists()
    assert sorted(os.listdir(a / "new")) == [str(i) for i in range(10)]
    assert len(os.listdir(a / "new/3")) == count // 10
    assert (a / "new/7/17").read_bytes() == b"17"
    a.flush(within=150)
    assert set(store.keys()) == {f"new/{i % 10}/{i}" for i in range(count)}
    assert store.get("new/7/17") == b"17"


def test_rename_then_write_old_name(new_mount, store):
    """After a directory's rename its old name can be used anew, and nothing is mixed up."""
    a = new_mount("a", store)
    (a / "d").mkdir()
    for i in range(50):
        (a / f"d/{i}").write_bytes(b"first")
    a.flush()
    os.rename(a / "d", a / "e")
    (a / "d").mkdir()
    (a / "d/0").write_bytes(b"second")
    a.flush()
    keys = {key for key in store.keys() if not key.endswith("/")}
    assert keys == {f"e/{i}" for i in range(50)} | {"d/0"}
    assert store.get("d/0") == b"second" and store.get("e/0") == b"first"


def test_write_delete_write(new_mount, store):
    """Create, delete and create again end with the last one."""
    a = new_mount("a", store, config={"write": {"upload_delay": "0ms"}})
    for i in range(30):
        (a / "f").write_bytes(b"%d" % i)
        if i % 2:
            os.unlink(a / "f")
    (a / "f").write_bytes(b"last")
    a.flush()
    assert store.get("f") == b"last" and store.keys() == {"f": 4}


def test_empty_directory_travels(new_mount, store):
    """An empty directory is there on another host, and gone when it is removed."""
    a, b = new_mount("a", store), new_mount("b", store)
    os.makedirs(a / "empty/inner")
    a.flush()
    eventually(lambda: (b / "empty/inner").is_dir(), what="the directory")
    os.rmdir(a / "empty/inner")
    os.rmdir(a / "empty")
    a.flush()
    eventually(lambda: not (b / "empty").exists(), what="its removal")
    assert store.keys() == {}


def test_rm_r_of_what_is_only_in_the_store(new_mount, store):
    """rm -r removes objects that this host has never read."""
    store.put_many({f"d/{i % 3}/{i}": b"x" for i in range(120)})
    a = new_mount("a", store)
    subprocess.run(["rm", "-r", a / "d"], check=True)
    assert os.listdir(a.dir) == []
    a.flush()
    assert store.keys() == {}


# --- torn bytes ---


@pytest.mark.s3
def test_change_during_upload(new_mount, store):
    """A file that is changed in place while it is uploaded is never stored as a mixture."""
    a = new_mount("a", store, config={"write": {"upload_delay": "0ms"}})
    size = 3_000_000
    (a / "f").write_bytes(b"0" * size)
    a.proxy.fail(delay=0.05)
    stop = threading.Event()
    seen = []

    def watch():
        while not stop.is_set():
            if "f" in store.keys():
                seen.append(store.get("f"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for letter in b"123456789":
            fd = os.open(a / "f", os.O_RDWR)
            for at in range(0, size, 500_000):
                os.pwrite(fd, bytes([letter]) * 500_000, at)
                time.sleep(0.01)
            os.close(fd)
        a.proxy.heal()
        a.flush()
    finally:
        stop.set()
        watcher.join()
    assert store.get("f") == b"9" * size
    assert seen and all(len(data) == size and data == data[:1] * size for data in seen)


# --- write-through ---


def test_write_through(new_mount, store):
    """With write: through, what close returned for is in the store."""
    a = new_mount("a", store, config={"write": "through"})
    for i in range(5):
        (a / f"f{i}").write_bytes(b"through" * 1000)
        assert store.get(f"f{i}") == b"through" * 1000
    (a / "f0").write_bytes(b"again")
    assert store.get("f0") == b"again"


@pytest.mark.parametrize("state", ["dirty", "clean", "uploading"])
@pytest.mark.parametrize("size", [8192, 3_000_000])
def test_readers_see_what_is_written_later(new_mount, store, state, size):
    """Who has a file open sees what another writes into it; the store sees it when it is closed."""
    delay = {"dirty": "1h", "clean": "0ms", "uploading": "0ms"}[state]
    a = new_mount("a", store, config={"write": {"upload_delay": delay}})
    (a / "f").write_bytes(b"a" * size)
    if state == "clean":
        a.flush()
    with open(a / "f", "rb", buffering=0) as reader:
        assert reader.read(1) == b"a"
        writer = os.open(a / "f", os.O_WRONLY)
        os.pwrite(writer, b"b", 1)
        assert reader.read(2) == b"ba"
        if state == "clean":
            assert store.get("f") == b"a" * size
        os.pwrite(writer, b"c", size)
        os.close(writer)
        assert os.pread(reader.fileno(), 2, size - 1) == b"ac"
    a.flush()
    assert store.get("f") == (a / "f").read_bytes() == b"ab" + b"a" * (size - 2) + b"c"


# --- without the store ---


@pytest.mark.s3
@pytest.mark.parametrize("how", ["refused", "silent"])
def test_new_names_while_the_store_is_away(new_mount, store, how):
    """In a directory that was listed once, new files are made while the store is away, and arrive."""
    store.put_many({"d/there": b"1", "unseen/there": b"2"})
    config = {"deadlines": {"lookup": "2s", "list": "2s"}, "write": {"upload_delay": "0ms"}}
    a = new_mount("a", store, config=config)
    assert sorted(os.listdir(a.dir)) == ["d", "unseen"] and os.listdir(a / "d") == ["there"]
    (a / "made").mkdir()
    a.flush()
    time.sleep(1.5)  # the listings' time is over
    if how == "refused":
        a.proxy.stop()
    else:
        a.proxy.fail(hang=True)
    expected = {"d/there": 1, "unseen/there": 1}
    for i in range(4):
        for name in (f"d/new{i}", f"made/new{i}", f"top{i}", f"made/sub{i}/f"):
            (a / name).parent.mkdir(exist_ok=True)
            (a / name).write_bytes(b"new")
            assert (a / name).read_bytes() == b"new"
            expected[name] = 3
    os.rename(a / "top0", a / "renamed")
    expected["renamed"] = expected.pop("top0")
    assert not (a / "d/none").exists()
    for name in ("unseen/there", "unseen/none"):
        with pytest.raises(OSError) as caught:
            os.stat(a / name)
        assert caught.value.errno in (errno.EIO, errno.ETIMEDOUT)
    a.proxy.heal()
    a.flush()
    assert {key: size for key, size in store.keys().items() if not key.endswith("/")} == expected
    eventually(lambda: (a / "unseen/there").read_bytes() == b"2", what="what could not be asked for")


@pytest.mark.s3
def test_absent_in_an_outage_is_not_remembered(new_mount, store):
    """That a listing did not have a name counts as long as the store is away, and no longer."""
    config = {"deadlines": {"lookup": "2s", "list": "2s"}, "mount": {"negative_ttl": "1h"}}
    a = new_mount("a", store, config=config)
    assert os.listdir(a.dir) == []
    time.sleep(1.5)
    a.proxy.stop()
    store.put("made-elsewhere", b"x")
    assert not (a / "made-elsewhere").exists()
    a.proxy.heal()
    eventually(lambda: (a / "made-elsewhere").read_bytes() == b"x", within=15, what="the other host's file")


# --- two hosts ---


def conflict(new_mount, store, policy):
    """Two hosts change the same version; b's change is in the store first. Returns (a, b)."""
    config = {"mount": {"list_ttl": "1h"}, "write": {"conflict": policy}}
    a = new_mount("a", store, config=config)
    (a / "f").write_bytes(b"base")
    a.flush()
    b = new_mount("b", store, config=config)
    assert (b / "f").read_bytes() == b"base"
    (b / "f").write_bytes(b"from b")
    b.flush()
    assert store.get("f") == b"from b"
    (a / "f").write_bytes(b"from a")
    a.flush()
    return a, b


def test_conflict_last_writer(new_mount, store):
    """last_writer: the later upload holds, and is counted as a conflict."""
    a, _ = conflict(new_mount, store, "last_writer")
    assert store.get("f") == b"from a"
    assert (a / "f").read_bytes() == b"from a"
    assert a.counter("conflicts") == 1


def test_conflict_first_writer(new_mount, store):
    """first_writer: what was in the store first stays, here too."""
    a, _ = conflict(new_mount, store, "first_writer")
    assert store.get("f") == b"from b"
    eventually(lambda: (a / "f").read_bytes() == b"from b", what="the other host's version")
    assert a.counter("conflicts") == 1


def test_conflict_keep_both(new_mount, store):
    """keep_both: one of them gets another name, and no byte is lost."""
    a, _ = conflict(new_mount, store, "keep_both")
    keys = store.keys()
    assert len(keys) == 2 and "f" in keys
    assert sorted(store.get(key) for key in keys) == [b"from a", b"from b"]
    assert a.counter("conflicts") == 1


def test_equal_bytes_are_no_conflict(new_mount, store):
    """Two hosts that write the same bytes do not conflict."""
    config = {"mount": {"list_ttl": "1h"}, "write": {"conflict": "first_writer"}}
    a, b = new_mount("a", store, config=config), new_mount("b", store, config=config)
    assert not (a / "f").exists() and not (b / "f").exists()
    (b / "f").write_bytes(b"equal")
    b.flush()
    (a / "f").write_bytes(b"equal")
    a.flush()
    assert store.keys() == {"f": 5}
    assert a.counter("conflicts") == 0


# --- order, flush, stats ---


@pytest.mark.s3
def test_completion_mark_comes_last(new_mount, store):
    """after: siblings: the mark is uploaded when everything older below its directory is in the store."""
    done = {"name": "done", "match": "videos/{video}/metadata.json", "after": "siblings"}
    a = new_mount("a", store, config={"classes": [done]})
    a.proxy.fail(delay=0.5, only=lambda r: "/keyframes/" in r.path)
    os.makedirs(a / "videos/v/keyframes")
    for i in range(6):
        (a / f"videos/v/keyframes/{i}.jpg").write_bytes(b"jpeg" * 100)
    (a / "videos/v/metadata.json").write_bytes(b"{}")
    (a / "videos/other.json").write_bytes(b"{}")
    a.flush()
    frames = puts(a, ".jpg")
    (mark,) = puts(a, "v/metadata.json")
    assert len(frames) == 6
    assert mark.began >= max(request.answered for request in frames)


def test_flush_of_a_path(new_mount, store):
    """cogfs flush PATH waits for what lies below it, and stats tell what is dirty."""
    a = new_mount("a", store, config={"write": {"upload_delay": "1h"}})
    for folder in ("x", "y"):
        (a / folder).mkdir()
        (a / folder / "f").write_bytes(b"1234567890")
    assert a.counter("dirty_objects") >= 2 and a.counter("dirty_bytes") >= 20
    assert a.xattrs("x/f")["user.cogfs.state"] == b"dirty"
    a.flush(a / "x")
    assert {key for key in store.keys() if not key.endswith("/")} == {"x/f"}
    assert a.xattrs("x/f")["user.cogfs.state"] == b"clean"
    assert a.xattrs("y/f")["user.cogfs.state"] == b"dirty"
    a.flush()
    assert a.counter("dirty_objects") == 0 and a.counter("dirty_bytes") == 0
    assert a.counter("oldest_dirty_s") == 0


def test_flush_names_open_files(new_mount, store):
    """A flush does not wait for files that are still being written, and says so."""
    a = new_mount("a", store)
    with open(a / "open", "wb") as file:
        file.write(b"x")
        file.flush()
        os.close(os.dup(file.fileno()))
        result = cogfs("flush", a.dir, within=20, env=a.env)
        assert result.returncode == 3 and "still open" in result.stderr, result.stderr
    a.flush()
    assert in_store(store, "open")


@pytest.mark.s3
def test_flush_gives_up_in_time(new_mount, store):
    """A flush that the store does not answer ends at its timeout, and what is left stays."""
    a = new_mount("a", store, config={"mount": {"list_ttl": "1h"}})
    os.listdir(a.dir)  # so that the new name needs no question
    a.proxy.stop()
    (a / "f").write_bytes(b"kept")
    begin = time.monotonic()
    result = cogfs("flush", "--timeout", "1s", a.dir)
    assert result.returncode == 3, result.stderr
    assert time.monotonic() - begin < 5 * SLOW
    a.proxy.heal()
    a.flush()
    assert store.get("f") == b"kept"


def test_stats_are_json(new_mount, store):
    """cogfs stats --json is .cogfs/stats.json, and counts what was done."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"x" * 1000)
    (a / "f").read_bytes()
    assert not (a / "none").exists()
    os.unlink(a / "f")
    result = cogfs("stats", "--json", a.dir)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout).keys() == a.stats().keys()
    assert a.counter("sets") >= 1 and a.counter("deletes") == 1 and a.counter("misses") >= 1
    text = cogfs("stats", a.dir)
    assert text.returncode == 0 and "sets" in text.stdout

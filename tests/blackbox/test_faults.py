# SPDX-License-Identifier: Apache-2.0
"""
The store goes wrong: answers stay bounded, with the errno of the table; nothing is deleted or truncated,
and nobody is left waiting in the kernel.
"""

import errno
import os
import signal
import subprocess
import time

import pytest

from lib.flaky import http, s3_error
from lib.wait import SLOW, bounded, eventually, never, read_file, stuck_processes

pytestmark = pytest.mark.s3

DEADLINES = {"open": "2s", "read": "2s", "lookup": "2s", "list": "2s", "mount": "5s"}
LIMIT = 5  # seconds in which every answer must be there: a deadline of 2 s, and some for a busy machine
IO = (errno.EIO, errno.ETIMEDOUT)
BIG = 24 << 20


@pytest.fixture
def mount(new_mount, store):
    """A mount with short deadlines; `warm/` is resident, `cold/` is only in the store."""
    store.put_many({f"warm/{i}": b"w%d" % i * 1000 for i in range(5)})
    store.put_many({f"cold/{i}": b"c%d" % i * 1000 for i in range(30)})
    store.put("big", os.urandom(1 << 20) * (BIG >> 20))
    store.put("unseen/there", b"x")
    mount = new_mount("a", store, config={"deadlines": DEADLINES})
    for i in range(5):
        assert (mount / f"warm/{i}").read_bytes() == b"w%d" % i * 1000
    os.listdir(mount / "cold")
    yield mount
    eventually(lambda: not stuck_processes(), what="the end of all processes in D state")


def warm_is_whole(mount):
    """What is resident reads as if nothing was wrong, listed and by name."""
    for i in range(5):
        outcome = bounded(read_file, mount / f"warm/{i}", within=LIMIT)
        assert outcome.value == b"w%d" % i * 1000, outcome
        assert bounded(os.stat, mount / f"warm/{i}", within=LIMIT).value.st_size == 2000


def store_is_whole(store):
    """Nothing was deleted, truncated or added."""
    keys = store.keys()
    assert {key: size for key, size in keys.items() if key.startswith(("warm/", "cold/", "big"))} == {
        **{f"warm/{i}": 2000 for i in range(5)},
        **{f"cold/{i}": len(b"c%d" % i) * 1000 for i in range(30)},
        "big": BIG,
    }


def all_is_well_again(mount, store):
    """After the fault every object can be read, and what was written meanwhile arrives."""
    mount.proxy.heal()

    def reads():
        return all((mount / f"cold/{i}").read_bytes() == b"c%d" % i * 1000 for i in range(30))

    eventually(reads, within=15, what="cold objects after the fault")
    eventually(lambda: len(os.listdir(mount / "cold")) == 30, what="the listing after the fault")
    warm_is_whole(mount)
    mount.flush()
    store_is_whole(store)


def cold_fails(mount, name="cold/7", codes=IO):
    outcome = bounded(read_file, mount / name, within=LIMIT)
    assert outcome.errno in codes, outcome
    return outcome


# --- the server is gone ---


def test_server_stopped(mount, store):
    """What is here works on, the rest fails in time; unknown is never taken for absent."""
    mount.proxy.stop()
    warm_is_whole(mount)
    cold_fails(mount)
    outcome = bounded(os.stat, mount / "unseen/name", within=LIMIT)
    assert outcome.errno in IO, outcome
    (mount / "written").write_bytes(b"meanwhile")
    assert (mount / "written").read_bytes() == b"meanwhile"
    time.sleep(1.5)  # the listings' time is over
    warm_is_whole(mount)
    cold_fails(mount, "cold/8")
    all_is_well_again(mount, store)
    assert store.get("written") == b"meanwhile"


def test_open_breaker_answers_at_once(mount, store):
    """After a few failures the next ones are told in no time."""
    mount.proxy.stop()
    for i in range(8):
        cold_fails(mount, f"cold/{i}")
    times = sorted(cold_fails(mount, f"cold/{10 + i}").seconds for i in range(9))
    assert times[4] < 0.1 * SLOW, times
    all_is_well_again(mount, store)


def test_server_stopped_in_a_fill(mount, store):
    """A read under way fails in time, or went on in time; after the return its bytes are the right ones."""
    expected = store.get("big")
    mount.proxy.fail(hang_after=3 << 20, only=lambda r: "/big" in r.path)
    outcome = bounded(read_file, mount / "big", within=LIMIT + 5)
    assert outcome.errno in IO or outcome.value == expected, outcome.errno
    mount.proxy.stop()
    warm_is_whole(mount)
    mount.proxy.heal()
    eventually(lambda: (mount / "big").read_bytes() == expected, within=20, what="the whole object")
    store_is_whole(store)


def test_changes_while_stopped(mount, store):
    """Deletes, renames and writes without the store are done here, and there when it is back."""
    mount.proxy.stop()
    os.unlink(mount / "warm/0")
    os.rename(mount / "warm/1", mount / "warm/renamed")
    with open(mount / "warm/2", "ab") as file:
        file.write(b"more")
    (mount / "fresh").mkdir()
    (mount / "fresh/f").write_bytes(b"x")
    assert not (mount / "warm/0").exists()
    assert (mount / "warm/renamed").read_bytes() == b"w1" * 1000
    mount.proxy.heal()
    mount.flush()
    keys = store.keys()
    assert "warm/0" not in keys and "warm/1" not in keys
    assert store.get("warm/renamed") == b"w1" * 1000
    assert store.get("warm/2") == b"w2" * 1000 + b"more"
    assert store.get("fresh/f") == b"x"


# --- slow and silent ---


def test_slow_server(mount, store):
    """5 s an answer against deadlines of 2 s: everything cold is ETIMEDOUT (or EIO) in time."""
    mount.proxy.fail(delay=5)
    warm_is_whole(mount)
    outcome = cold_fails(mount)
    assert outcome.seconds < 2.0 + 1.5 * SLOW
    assert bounded(os.stat, mount / "unseen/name", within=LIMIT).errno in IO
    time.sleep(1.2)
    bounded(os.listdir, mount / "cold", within=LIMIT)
    all_is_well_again(mount, store)


def test_slow_enough_server_works(mount, store):
    """Half a second an answer is slow, not wrong."""
    mount.proxy.fail(delay=0.5)
    for i in range(3):
        outcome = bounded(read_file, mount / f"cold/{i}", within=LIMIT)
        assert outcome.value == b"c%d" % i * 1000, outcome
    mount.proxy.heal()


def test_silent_server(mount, store):
    """A server that takes requests and says nothing."""
    mount.proxy.fail(hang=True)
    warm_is_whole(mount)
    cold_fails(mount)
    assert bounded(os.stat, mount / "unseen/name", within=LIMIT).errno in IO
    all_is_well_again(mount, store)


def test_silent_after_half_a_body(mount, store):
    """A body that stops in the middle is an error in time, never a short file."""
    mount.proxy.fail(hang_after=1000, only=lambda r: "/cold/" in r.path)
    cold_fails(mount)
    assert bounded(os.stat, mount / "cold/7", within=LIMIT).value.st_size == 2000
    all_is_well_again(mount, store)


def test_connection_cut_in_every_body(mount, store):
    """A connection that breaks in the middle of each body: bytes are right, or the read fails."""
    mount.proxy.fail(cut_after=1000, only=lambda r: "/cold/" in r.path)
    outcome = bounded(read_file, mount / "cold/7", within=LIMIT)
    assert outcome.errno in IO or outcome.value == b"c7" * 1000, outcome
    all_is_well_again(mount, store)


def test_connection_cut_once(mount, store):
    """One broken connection is not seen by anybody."""
    expected = store.get("big")
    mount.proxy.fail(cut_after=2_500_000, times=2, only=lambda r: "/big" in r.path)
    outcome = bounded(read_file, mount / "big", within=30)
    assert outcome.value == expected
    store_is_whole(store)


def test_killed_reader_leaves(mount, store):
    """A reader that waits for a silent server can be killed; it is gone by the deadline at the latest."""
    mount.proxy.fail(hang=True)
    for number in (signal.SIGKILL, signal.SIGTERM):
        reader = subprocess.Popen(["cat", mount / "cold/3"], stdout=subprocess.DEVNULL)
        time.sleep(0.4)
        assert reader.poll() is None
        reader.send_signal(number)
        begin = time.monotonic()
        assert reader.wait(LIMIT * SLOW) == -number
        assert time.monotonic() - begin < LIMIT * SLOW
    warm_is_whole(mount)
    all_is_well_again(mount, store)


def test_many_waiting_readers_do_not_block_the_rest(mount, store):
    """While many processes wait for a silent server, resident objects answer as ever."""
    mount.proxy.fail(hang=True)
    readers = [
        subprocess.Popen(["cat", mount / f"cold/{i}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for i in range(30)
    ]
    try:
        time.sleep(0.3)
        begin = time.monotonic()
        warm_is_whole(mount)
        (mount / "warm/new").write_bytes(b"x")
        os.unlink(mount / "warm/new")
        assert time.monotonic() - begin < 1.5 * SLOW
    finally:
        for reader in readers:
            assert reader.wait(2 * LIMIT * SLOW) != 0
    all_is_well_again(mount, store)


# --- wrong answers ---


@pytest.mark.parametrize(
    "answer, codes",
    [
        (s3_error(500, "InternalError"), IO),
        (s3_error(503, "SlowDown"), IO),
        (http(502, "<html>Bad Gateway</html>"), IO),
        (s3_error(403, "AccessDenied"), (errno.EACCES,)),
        (http(403), (errno.EACCES,)),
        (s3_error(400, "ExpiredToken"), (errno.EACCES, errno.EIO)),
        (http(200, "this is no object, and not the right length"), IO),
        (b"garbage that is not HTTP at all\r\n\r\n" * 10, IO),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\nshort", IO),
        (b"", IO),
    ],
    ids=["500", "503", "502-html", "403", "403-bare", "expired-token", "wrong-body", "garbage", "short", "nothing"],
)  # fmt: skip
def test_wrong_answers(mount, store, answer, codes):
    """The errno of the table, in time; what is here stays; the store stays as it is."""
    mount.proxy.fail(answer=answer)
    cold_fails(mount, codes=codes)
    assert bounded(os.stat, mount / "unseen/name", within=LIMIT).errno in codes + IO
    time.sleep(1.2)
    bounded(os.listdir, mount / "cold", within=LIMIT)
    bounded(os.listdir, mount / "warm", within=LIMIT)
    warm_is_whole(mount)
    never(lambda: mount.proxy.count("DELETE"), during=0.3, what="a DELETE")
    all_is_well_again(mount, store)


def test_wrong_answers_to_uploads(mount, store):
    """An upload that is refused or fails is kept, told in .cogfs/errors, and tried again."""
    for n, answer in enumerate((s3_error(500, "InternalError"), s3_error(403, "AccessDenied"), b"")):
        mount.proxy.fail(answer=answer, only=lambda r: r.method in ("PUT", "POST"))
        (mount / f"up{n}").write_bytes(b"kept" * 100)
        eventually(lambda: f"up{n}" in (mount / ".cogfs/errors").read_text(), what="the error's report")
        assert (mount / f"up{n}").read_bytes() == b"kept" * 100
    all_is_well_again(mount, store)
    for n in range(3):
        assert store.get(f"up{n}") == b"kept" * 100


def test_slow_down_once(mount, store):
    """503 with Retry-After is heeded and then forgotten."""
    mount.proxy.fail(answer=s3_error(503, "SlowDown", "Retry-After: 1\r\n"), times=1)
    outcome = bounded(read_file, mount / "cold/9", within=LIMIT)
    assert outcome.value == b"c9" * 1000, outcome
    (mount / "f").write_bytes(b"x")
    mount.proxy.fail(answer=s3_error(503, "SlowDown", "Retry-After: 1\r\n"), times=1)
    mount.flush()
    assert store.get("f") == b"x"


def test_lost_answer_to_an_upload(mount, store):
    """An upload that arrived, but whose answer was lost, ends as one object and no conflict."""
    mount.proxy.fail(cut_after=0, times=1, only=lambda r: r.method == "PUT")
    (mount / "f").write_bytes(b"once" * 1000)
    mount.flush()
    assert store.get("f") == b"once" * 1000
    assert mount.counter("conflicts") == 0


def test_write_through_with_a_failing_store(new_mount, store):
    """write: through: a close that the store did not confirm fails in time, and the bytes are not lost."""
    a = new_mount("a", store, config={"deadlines": DEADLINES, "write": {"mode": "through", "drain_deadline": "3s"}})
    a.proxy.fail(answer=s3_error(500, "InternalError"), only=lambda r: r.method == "PUT")

    def write():
        fd = os.open(a / "f", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"kept")
        os.close(fd)

    outcome = bounded(write, within=20)
    assert outcome.errno in IO, outcome
    a.proxy.heal()
    a.flush()
    assert store.get("f") == b"kept"


def test_error_is_told(mount, store):
    """The last error of an object can be asked for."""
    mount.proxy.fail(answer=s3_error(403, "AccessDenied"))
    cold_fails(mount, "cold/5", (errno.EACCES,))
    assert "cold/5" in (mount / ".cogfs/errors").read_text()
    mount.proxy.heal()

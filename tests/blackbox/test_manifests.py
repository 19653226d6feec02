# SPDX-License-Identifier: Apache-2.0
"""What a listing tells on a second host, without asking for names one by one."""

import os
import time

import pytest
from lib.mounts import cogfs

COUNT = 1000


def shown(tree):
    """What ls -l shows, by name."""
    found = {}
    for entry in os.scandir(tree):
        st = entry.stat()
        found[entry.name] = (st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns)
    return found


@pytest.mark.s3
def test_ls_sends_no_request_a_name(new_mount, store):
    """Mode, owner, size and mtime on another host cost a LIST, the manifests' LIST and few GETs."""
    a = new_mount("a", store)
    (a / "d").mkdir()
    for n in range(COUNT):
        path = a / "d" / f"{n:04}"
        path.write_bytes(b"x" * n)
        os.chmod(path, 0o600 + n % 8)
        os.utime(path, ns=(10**18 + n, 10**18 + n))
    expected = shown(a / "d")
    assert cogfs("flush", a / "d").returncode == 0
    b = new_mount("b", store)
    before, start = b.proxy.count(), time.monotonic()
    assert shown(b / "d") == expected
    took, requests = time.monotonic() - start, b.proxy.count() - before
    print(f"{COUNT} names: {requests} requests, {took:.3f} s")
    assert requests < 20


@pytest.mark.s3
def test_another_writer_is_believed(new_mount, store):
    """Who writes without manifests is seen as the store says, never with the old attributes."""
    a = new_mount("a", store)
    (a / "f").write_bytes(b"old")
    os.chmod(a / "f", 0o600)
    os.utime(a / "f", ns=(10**18, 10**18))
    assert cogfs("flush", a / "f").returncode == 0
    store.put("f", b"newer")
    b = new_mount("b", store)
    mode, _, _, size, mtime = shown(b / ".")["f"]
    assert size == 5 and mtime > 10**18 and mode & 0o777 != 0o600

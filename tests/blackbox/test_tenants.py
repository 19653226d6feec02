# SPDX-License-Identifier: Apache-2.0
"""
Tenants: each has its directory, its owner and its quota, and none gets at another's. What two tenants try with each
other is tried by processes of two users.
"""

import contextlib
import errno
import json
import os
import pickle
import signal
import subprocess
import threading
import time

import pytest

from lib.mounts import COGFS, cogfs
from lib.wait import eventually

pytestmark = pytest.mark.not_plain

ACME, GLOBEX = 4001, 4002
KIB, MIB = 1 << 10, 1 << 20
TENANTS = {
    "acme": {"uid": ACME, "gid": ACME, "mode": "0700", "quota": "1MiB", "max_objects": 20},
    "globex": {"uid": GLOBEX, "gid": GLOBEX, "mode": "0700", "quota": "1MiB"},
}


def mount_with(new_mount, store, tenants=None, name="a", **more):
    return new_mount(name, store, config={"tenants": TENANTS if tenants is None else tenants, **more})


def usage(mount, tenant="acme"):
    return mount.stats()["tenants"][tenant]


def refused(code, call, *args, **more):
    with pytest.raises(OSError) as caught:
        call(*args, **more)
    assert caught.value.errno == code, caught.value


def as_user(uid, call, *args):
    """What call returns, or raises, in a process of that user."""
    read, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            answer = (call(*args), None)
        except Exception as e:  # noqa: BLE001
            answer = (None, e)
        with os.fdopen(write_end, "wb") as f:
            pickle.dump(answer, f)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read, "rb") as f:
        value, error = pickle.load(f)
    os.waitpid(pid, 0)
    if error:
        raise error
    return value


def hangup(mount, tenants):
    mount.configure({"tenants": tenants})
    mount.process.send_signal(signal.SIGHUP)


def write(path, size):
    """Closes what it has written of it, whatever becomes of the rest."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        left = size
        while left:
            left -= os.write(fd, b"x" * min(left, 64 * KIB))
    finally:
        os.close(fd)


# --- directories ---


def test_declared_tenants_are_there(new_mount, store):
    """Their directories are there from the mount on, as they are configured, and stay; a second host has them too."""
    a = mount_with(new_mount, store)
    assert sorted(os.listdir(a.dir)) == ["tenant_acme", "tenant_globex"]
    st = os.stat(a / "tenant_acme")
    assert (st.st_uid, st.st_gid, st.st_mode) == (ACME, ACME, 0o40700)
    refused(errno.EBUSY, os.rmdir, a / "tenant_acme")
    refused(errno.EPERM, os.chmod, a / "tenant_acme", 0o777)
    refused(errno.EXDEV, os.rename, a / "tenant_acme", a / "other")
    refused(errno.EEXIST, os.mkdir, a / "tenant_acme")
    os.chmod(a / "tenant_acme", 0o700)
    as_user(ACME, write, a / "tenant_acme/f", 10)
    a.flush()
    b = mount_with(new_mount, store, name="b")
    assert sorted(os.listdir(b.dir)) == ["tenant_acme", "tenant_globex"]
    assert as_user(ACME, os.listdir, b / "tenant_acme") == ["f"]
    assert os.getxattr(b / "tenant_acme/f", "user.cogfs.tenant") == b"acme"
    os.unlink(b / "tenant_acme/f")
    b.flush()
    time.sleep(1.2)  # the listing is asked for again, and shows nothing of it
    assert sorted(os.listdir(a.dir)) == ["tenant_acme", "tenant_globex"]
    a.remount()
    assert os.stat(a / "tenant_globex").st_uid == GLOBEX
    assert cogfs("fsck", a.dir).returncode == 0


def test_who_makes_tenants(new_mount, store):
    """Without "*" only root does; with it everybody, and the directory is as "*" says."""
    a = mount_with(new_mount, store, mount={"mode": "1777", "list_ttl": "1s"})
    refused(errno.EACCES, as_user, ACME, os.mkdir, a / "tenant_new")
    os.mkdir(a / "tenant_new")
    as_user(ACME, os.mkdir, a / "ordinary")
    hangup(a, {**TENANTS, "*": {"mode": "0710", "quota": "100KiB"}})

    def made():
        try:
            as_user(ACME, os.mkdir, a / "tenant_more")
        except PermissionError:
            return False
        return True

    eventually(made, 10, "the new configuration")
    st = os.stat(a / "tenant_more")
    assert (st.st_uid, st.st_mode) == (ACME, 0o40710)
    assert usage(a, "more")["quota_bytes"] == 100 * KIB
    refused(errno.EDQUOT, as_user, ACME, write, a / "tenant_more/f", 200 * KIB)


def test_tenants_come_and_go_on_hangup(new_mount, store):
    """Added, changed, removed, with a file open and written all the time: nothing is dropped."""
    a = mount_with(new_mount, store)
    path = a / "tenant_acme/f"
    write(path, 1000)
    with open(path, "r+b") as held:
        hangup(a, {"acme": {**TENANTS["acme"], "mode": "0750", "quota": "2MiB"}, "late": {"uid": GLOBEX}})
        eventually(lambda: os.path.isdir(a / "tenant_late"), 10, "the new tenant")
        assert os.stat(a / "tenant_late").st_uid == GLOBEX
        eventually(lambda: os.stat(a / "tenant_acme").st_mode == 0o40750, 10, "the new mode")
        assert usage(a)["quota_bytes"] == 2 * MIB
        held.write(b"y" * 1500 * KIB)
        assert os.path.isdir(a / "tenant_globex")
        os.rmdir(a / "tenant_globex")
    assert usage(a)["size_bytes"] == 1500 * KIB
    assert path.read_bytes() == b"y" * 1500 * KIB
    hangup(a, {"late": {"uid": GLOBEX}})
    eventually(lambda: usage(a)["quota_bytes"] is None, 10, "the end of the quota")
    write(a / "tenant_acme/more", 3 * MIB)
    assert usage(a)["size_bytes"] == 4500 * KIB + 72 * KIB


# --- limits ---


def test_quota(new_mount, store):
    """Every way to grow ends at the quota, and what is given back can be used again."""
    a = mount_with(new_mount, store)
    d = a / "tenant_acme"
    write(d / "f", MIB)
    assert usage(a)["size_bytes"] == MIB
    refused(errno.EDQUOT, write, d / "g", 1)
    with open(d / "f", "ab", buffering=0) as f:
        refused(errno.EDQUOT, f.write, b"x")
    refused(errno.EDQUOT, os.truncate, d / "f", MIB + 1)
    with open(d / "f", "r+b") as f:
        refused(errno.EDQUOT, os.posix_fallocate, f.fileno(), MIB, 10)
        f.write(b"in its place")
    (a / "outside").write_bytes(b"x" * 1000)
    refused(errno.EDQUOT, os.rename, a / "outside", d / "inside")
    assert usage(a)["size_bytes"] == MIB
    os.truncate(d / "f", 1000)
    assert usage(a)["size_bytes"] == 1000
    os.rename(a / "outside", d / "inside")
    assert usage(a)["size_bytes"] == 2000
    os.rename(d / "inside", a / "outside")
    with open(d / "f", "r+b", buffering=0) as f:
        os.unlink(d / "f")
        refused(errno.EDQUOT, os.truncate, f.fileno(), MIB + 1)
        os.truncate(f.fileno(), MIB)
        assert usage(a)["size_bytes"] == MIB  # what is open takes its room
    eventually(lambda: usage(a)["size_bytes"] == 0, 10, "the end of what was unlinked")
    write(d / "f", MIB)
    a.flush()
    a.remount()
    refused(errno.EDQUOT, write, d / "h", MIB)
    os.unlink(d / "h")
    os.setxattr(d / "f", "user.cogfs.ttl", b"1")
    eventually(lambda: usage(a)["size_bytes"] == 0, 10, "the end of what expired")
    write(d / "f", MIB)
    assert usage(a)["refused"] >= 1


def test_quota_after_a_crash(new_mount, store):
    """A worker that takes over, and a mount after a crash, know what was charged."""
    a = mount_with(new_mount, store, write={"upload_delay": "1h"})
    d = a / "tenant_acme"
    write(d / "f", 600 * KIB)
    with open(d / "g", "wb", buffering=0) as f:
        f.write(b"x" * 400 * KIB)
        a.kill_worker()
        eventually(lambda: usage(a)["size_bytes"] == 1000 * KIB, 10, "the count after a takeover")
        f.write(b"x" * 24 * KIB)
        refused(errno.EDQUOT, f.write, b"x")
    a.kill_both()
    a.destroy()
    a = mount_with(new_mount, store)
    eventually(lambda: usage(a)["size_bytes"] == MIB, 10, "the count after a crash")
    refused(errno.EDQUOT, write, d / "h", 1)


def test_directories_are_renamed_into_a_quota(new_mount, store):
    """With all that is in them, or not at all."""
    a = mount_with(new_mount, store)
    os.makedirs(a / "d/e")
    write(a / "d/e/f", 600 * KIB)
    write(a / "d/g", 600 * KIB)
    refused(errno.EDQUOT, os.rename, a / "d", a / "tenant_acme/d")
    os.truncate(a / "d/g", 100 * KIB)
    os.rename(a / "d", a / "tenant_acme/d")
    assert (usage(a)["size_bytes"], usage(a)["total_files"]) == (700 * KIB, 2)
    refused(errno.EXDEV, os.rename, a / "tenant_acme/d", a / "tenant_new")


def test_number_of_objects(new_mount, store):
    """max_objects counts files and links, and holds for parallel writers."""
    a = mount_with(new_mount, store)
    d = a / "tenant_acme"
    made, failed = [], []

    def make(who):
        for i in range(15):
            try:
                write(d / f"{who}-{i}", 10)
                made.append((who, i))
            except OSError as e:
                failed.append(e.errno)

    threads = [threading.Thread(target=make, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 20 and set(failed) == {errno.EDQUOT}
    assert len(os.listdir(d)) == 20
    refused(errno.EDQUOT, os.symlink, "x", d / "link")
    os.unlink(d / os.listdir(d)[0])
    eventually(lambda: usage(a)["total_files"] == 19, 10, "the end of what was unlinked")
    os.symlink("x", d / "link")
    assert usage(a)["total_files"] == 20
    os.mkdir(d / "directories do not count")


def test_parallel_writers_never_exceed(new_mount, store):
    """Six of them write, truncate and delete at the quota; at no time is it exceeded, and at the end all is right."""
    a = mount_with(new_mount, store)
    d = a / "tenant_acme"
    end = time.monotonic() + 4
    most, over = [0], []

    def work(who):
        path = d / f"f{who}"
        while time.monotonic() < end:
            try:
                write(path, 400 * KIB)
                if who % 2:
                    os.truncate(path, 100 * KIB)
            except OSError as e:
                assert e.errno == errno.EDQUOT
            if who % 3 == 0:
                os.unlink(path)

    def watch():
        while time.monotonic() < end:
            used = usage(a)["size_bytes"]
            most[0] = max(most[0], used)
            held = 0
            for name in os.listdir(d):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    held += os.stat(d / name).st_size
            if used > MIB:
                over.append((used, held))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(6)] + [threading.Thread(target=watch)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not over
    assert most[0] > MIB // 2
    sizes = [os.stat(d / name).st_size for name in os.listdir(d)]
    assert sum(sizes) <= MIB
    eventually(lambda: usage(a)["size_bytes"] == sum(sizes), 10, "the count of what is there")
    assert usage(a)["total_files"] == len(sizes)


def test_df(new_mount, store):
    """A tenant's directory is as large as its quota."""
    a = mount_with(new_mount, store)
    write(a / "tenant_acme/f", 256 * KIB)
    for path in ("tenant_acme", "tenant_acme/f"):
        out = subprocess.run(
            ["df", "-B1", "--output=size,used,avail,itotal,iused", a / path], capture_output=True, text=True, check=True
        ).stdout.splitlines()[1]
        assert list(map(int, out.split())) == [MIB, 256 * KIB, 768 * KIB, 20, 1]
    assert os.statvfs(a.dir).f_blocks * 4096 > 100 * MIB


def test_usage_is_partial_until_it_is_listed(new_mount, store):
    """A host that has not seen all of a tenant says so, and counts what it has seen."""
    a = mount_with(new_mount, store)
    os.makedirs(a / "tenant_acme/d/e")
    write(a / "tenant_acme/d/e/f", 1000)
    write(a / "tenant_acme/g", 500)
    a.flush()
    b = mount_with(new_mount, store, name="b")
    assert usage(b)["usage"] == "partial"
    assert os.listdir(b / "tenant_acme/d/e") == ["f"]
    assert usage(b)["usage"] == "partial"
    assert usage(b)["size_bytes"] == 1000
    subprocess.run(["find", b / "tenant_acme"], check=True, stdout=subprocess.DEVNULL)
    assert usage(b)["usage"] == "complete"
    assert usage(b)["size_bytes"] == 1500


def test_shares_of_a_tier(new_mount, store):
    """A tenant that has more of the disk than its share gives what is unused for longest; no other one does."""
    a = mount_with(new_mount, store, {"acme": {"uid": ACME, "shares": {"warm": "200KiB"}}, "globex": {}})
    for i in range(10):
        write(a / f"tenant_globex/{i}", 40 * KIB)
        write(a / f"tenant_acme/{i}", 40 * KIB)
    a.flush()

    def here(tenant):
        names = (f"tenant_{tenant}/{i}" for i in range(10))
        return sum(b"warm" in os.getxattr(a / name, "user.cogfs.tiers").split(b",") for name in names)

    eventually(lambda: 1 <= here("acme") <= 5, 15, "the share is kept")
    assert here("globex") == 10
    for i in range(10):
        assert (a / f"tenant_acme/{i}").read_bytes() == b"x" * 40 * KIB
    eventually(lambda: here("acme") <= 5, 15, "the share is kept again")
    assert usage(a)["size_bytes"] == 400 * KIB


# --- one from the other ---


def command(mount, request):
    """What a user says to the control file, and the last line of the answer."""
    with open(mount / ".cogfs/control", "r+b", buffering=0) as f:
        f.write(json.dumps(request).encode())
        text = b""
        while part := f.read(65536):
            text += part
    return json.loads(text.splitlines()[-1])


def user_stats(mount):
    return mount.stats()["tenants"]


def user_cli(mount, tenant):
    result = subprocess.run([COGFS, "stats", "--tenant", tenant, mount.dir], capture_output=True, text=True)
    return result.returncode, result.stdout


def test_tenants_are_apart(new_mount, store):
    """Two users, each a tenant: what is the other's can neither be seen, listed, changed nor commanded."""
    a = mount_with(new_mount, store)
    theirs = a / "tenant_acme"
    as_user(ACME, write, theirs / "secret", 100 * KIB)
    as_user(GLOBEX, write, a / "tenant_globex/own", 10)
    for call in (
        lambda: os.listdir(theirs),
        lambda: os.stat(theirs / "secret"),
        lambda: os.stat(theirs / "nothing"),
        lambda: open(theirs / "secret").read(),
        lambda: os.unlink(theirs / "secret"),
        lambda: os.mkdir(theirs / "d"),
        lambda: os.rename(theirs / "secret", a / "tenant_globex/secret"),
        lambda: os.rename(a / "tenant_globex/own", theirs / "own"),
        lambda: os.getxattr(theirs / "secret", "user.cogfs.state"),
        lambda: os.truncate(theirs / "secret", 0),
    ):
        refused(errno.EACCES, as_user, GLOBEX, call)
    for verb in ("flush", "explain"):
        for path in ("tenant_acme/secret", "tenant_acme/nothing", "tenant_acme", ""):
            assert as_user(GLOBEX, command, a, {"verb": verb, "path": path})["errno"] == errno.EACCES
        assert "errno" not in as_user(ACME, command, a, {"verb": verb, "path": "tenant_acme/secret"})
    for verb in ("errors", "fsck"):
        assert as_user(GLOBEX, command, a, {"verb": verb})["errno"] == errno.EACCES
    refused(errno.EACCES, as_user, GLOBEX, (a / ".cogfs/errors").read_text)
    assert os.stat(theirs / "secret").st_size == 100 * KIB


def test_tenants_see_their_own_statistics(new_mount, store):
    """stats.json has the caller's tenants and the totals; root's has all."""
    a = mount_with(new_mount, store)
    as_user(ACME, write, a / "tenant_acme/f", 1000)
    mine = as_user(ACME, user_stats, a)
    assert list(mine) == ["acme"]
    assert (mine["acme"]["size_bytes"], mine["acme"]["total_files"], mine["acme"]["sets"]) == (1000, 1, 1)
    assert list(as_user(ACME, command, a, {"verb": "stats"})["tenants"]) == ["acme"]
    assert sorted(user_stats(a)) == ["acme", "globex"]
    assert as_user(ACME, user_stats, a).keys() == {"acme"}
    code, out = as_user(ACME, user_cli, a, "acme")
    assert code == 0 and "1,000" in out or "1000" in out or "KiB" in out, out
    assert as_user(ACME, user_cli, a, "globex") == (1, "")
    assert user_cli(a, "globex")[0] == 0


def test_renames_between_tenants(new_mount, store):
    """EXDEV for whoever may do both, so that mv copies."""
    a = mount_with(new_mount, store)
    write(a / "tenant_acme/f", 1000)
    refused(errno.EXDEV, os.rename, a / "tenant_acme/f", a / "tenant_globex/f")
    subprocess.run(["mv", a / "tenant_acme/f", a / "tenant_globex/f"], check=True)
    eventually(lambda: usage(a)["size_bytes"] == 0, 10, "the end of what was moved away")
    assert usage(a, "globex")["size_bytes"] == 1000
    os.rename(a / "tenant_globex/f", a / "tenant_globex/g")
    assert os.listdir(a / "tenant_globex") == ["g"]

# SPDX-License-Identifier: Apache-2.0
"""What programs expect of any filesystem: mappings, unlinked files, attributes, permissions."""

import errno
import mmap
import os
import stat
import subprocess
import time

import pytest

from lib.files import put, raises
from lib.sys import NOBODY, as_user

# --- mmap ---


def test_mmap_private(tree):
    """A private mapping shows the file and keeps its own changes."""
    put(tree / "f", b"m" * 10000)
    with open(tree / "f", "rb") as file:
        view = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        assert view[:] == b"m" * 10000
        view[0:3] = b"xyz"
        assert view[0:4] == b"xyzm"
        view.close()
    assert (tree / "f").read_bytes() == b"m" * 10000


def test_mmap_shared(tree):
    """Stores to a shared mapping are in the file, for readers and after msync."""
    put(tree / "f", bytes(16384))
    with open(tree / "f", "r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
        view[5000:5005] = b"hello"
        view.flush()
        assert os.pread(file.fileno(), 5, 5000) == b"hello"
        os.pwrite(file.fileno(), b"WORLD", 6000)
        assert view[6000:6005] == b"WORLD"
        view.close()
    assert (tree / "f").read_bytes()[5000:5005] == b"hello"
    assert (tree / "f").read_bytes()[6000:6005] == b"WORLD"


def test_mmap_store_after_close(tree):
    """A mapping outlives its descriptor: what is stored then is in the file too."""
    put(tree / "f", bytes(8192))
    fd = os.open(tree / "f", os.O_RDWR)
    view = mmap.mmap(fd, 0)
    os.close(fd)
    view[100:105] = b"after"
    view.flush()
    view[200:205] = b"later"
    view.close()
    data = (tree / "f").read_bytes()
    assert data[100:105] == b"after" and data[200:205] == b"later"


def test_mmap_with_readers(tree):
    """A shared mapping made while others read the file changes what they read."""
    put(tree / "f", b"r" * 8192)
    reader = os.open(tree / "f", os.O_RDONLY)
    assert os.pread(reader, 1, 0) == b"r"
    writer = os.open(tree / "f", os.O_RDWR)
    view = mmap.mmap(writer, 0)
    view[0:4] = b"mmap"
    view.flush()
    assert os.pread(reader, 4, 0) == b"mmap"
    view.close()
    os.close(writer)
    os.close(reader)
    assert (tree / "f").read_bytes()[:5] == b"mmapr"


def test_mmap_read_after_unlink(tree):
    """A mapping of a file that lost its name goes on."""
    put(tree / "f", b"u" * 100000)
    with open(tree / "f", "rb") as file:
        view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    os.unlink(tree / "f")
    assert view[:] == b"u" * 100000
    view.close()


def test_exec(tree):
    """A program that is stored here runs."""
    put(tree / "run", b"#!/bin/sh\necho ran $1\n")
    os.chmod(tree / "run", 0o755)
    assert subprocess.check_output([tree / "run", "well"]) == b"ran well\n"


# --- unlink while open ---


def test_unlink_open(tree):
    """An open file that loses its name can be read, written and measured until it is closed."""
    put(tree / "f", b"first")
    fd = os.open(tree / "f", os.O_RDWR)
    reader = os.open(tree / "f", os.O_RDONLY)
    os.unlink(tree / "f")
    raises(errno.ENOENT, os.stat, tree / "f")
    assert os.listdir(tree) == []
    os.pwrite(fd, b"second", 5)
    assert os.pread(reader, 100, 0) == b"firstsecond"
    assert os.fstat(fd).st_size == 11
    os.ftruncate(fd, 3)
    assert os.pread(reader, 100, 0) == b"fir"
    os.fchmod(fd, 0o600)
    os.close(fd)
    os.close(reader)
    assert os.listdir(tree) == []


def test_unlink_open_readers(tree):
    """The same with readers only."""
    data = os.urandom(200000)
    put(tree / "f", data)
    with open(tree / "f", "rb") as one, open(tree / "f", "rb") as two:
        os.unlink(tree / "f")
        assert one.read() == data
        put(tree / "f", b"another")
        assert two.read() == data
    assert (tree / "f").read_bytes() == b"another"


def test_unlink_created(tree):
    """A temporary file that is unlinked right after its creation works until it is closed."""
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.unlink(tree / "f")
    os.write(fd, b"temporary")
    os.lseek(fd, 0, os.SEEK_SET)
    assert os.read(fd, 100) == b"temporary"
    os.close(fd)


def test_unlink_errors(tree):
    """unlink of nothing is ENOENT, of a directory EISDIR."""
    raises(errno.ENOENT, os.unlink, tree / "none")
    os.mkdir(tree / "d")
    raises((errno.EISDIR, errno.EPERM), os.unlink, tree / "d")


# --- attributes ---


def test_chmod(tree):
    """Permission bits stay as they are set, and ctime moves."""
    put(tree / "f")
    before = os.stat(tree / "f").st_ctime_ns
    time.sleep(0.02)
    os.chmod(tree / "f", 0o4751)
    st = os.stat(tree / "f")
    assert stat.S_IMODE(st.st_mode) == 0o4751
    assert st.st_ctime_ns > before
    os.mkdir(tree / "d")
    os.chmod(tree / "d", 0o2770)
    assert stat.S_IMODE(os.stat(tree / "d").st_mode) == 0o2770


def test_chown(tree):
    """Owner and group stay as they are set."""
    put(tree / "f")
    os.chown(tree / "f", 1234, 5678)
    assert (os.stat(tree / "f").st_uid, os.stat(tree / "f").st_gid) == (1234, 5678)
    os.chown(tree / "f", -1, 99)
    assert (os.stat(tree / "f").st_uid, os.stat(tree / "f").st_gid) == (1234, 99)


def test_utimens_nanoseconds(tree):
    """Times are kept to the nanosecond, also before 1970, on files, directories and links."""
    put(tree / "f")
    os.mkdir(tree / "d")
    os.symlink("f", tree / "l")
    for name in ("f", "d", "l"):
        for when in (1234567890123456789, -1000000001):
            os.utime(tree / name, ns=(when, when), follow_symlinks=False)
            assert os.lstat(tree / name).st_mtime_ns == when, name


def test_touch(tree):
    """touch sets the time to now, and makes a file where there is none."""
    put(tree / "f")
    os.utime(tree / "f", ns=(10**9, 10**9))
    before = time.time() - 1
    subprocess.run(["touch", tree / "f", tree / "new"], check=True)
    assert before < os.stat(tree / "f").st_mtime < time.time() + 1
    assert os.stat(tree / "new").st_size == 0


def test_write_moves_mtime(tree):
    """A write moves mtime, a read does not."""
    put(tree / "f", b"12345")
    os.utime(tree / "f", ns=(10**9, 10**9))
    (tree / "f").read_bytes()
    assert os.stat(tree / "f").st_mtime_ns == 10**9
    with open(tree / "f", "r+b") as file:
        file.write(b"x")
    assert os.stat(tree / "f").st_mtime > time.time() - 60


def test_utime_survives_close(tree):
    """An explicit time that is set before the close (cp -p, tar) stays after it."""
    fd = os.open(tree / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"data")
    os.utime(fd, ns=(10**18, 10**18 + 7))
    os.close(fd)
    assert os.stat(tree / "f").st_mtime_ns == 10**18 + 7


def test_statfs(tree):
    """statfs answers with sizes that make sense."""
    vfs = os.statvfs(tree)
    assert 0 <= vfs.f_bavail <= vfs.f_blocks and vfs.f_blocks > 0
    assert vfs.f_namemax == 255


@pytest.mark.not_plain
def test_statfs_is_the_disk_tier(tree):
    """df shows the disk tier's limit as the size."""
    vfs = os.statvfs(tree)
    assert vfs.f_blocks * vfs.f_frsize == 1024 * 1024 * 1024


def test_inode_numbers(tree):
    """An inode number is the same by path, by descriptor and in the listing; files differ."""
    put(tree / "a")
    put(tree / "b")
    entries = {entry.name: entry.inode() for entry in os.scandir(tree)}
    with open(tree / "a") as file:
        assert os.fstat(file.fileno()).st_ino == os.stat(tree / "a").st_ino == entries["a"]
    assert entries["a"] != entries["b"]


# --- permissions ---


def test_permissions(tree):
    """The kernel checks the bits for users who are not root."""
    put(tree / "secret")
    os.chmod(tree / "secret", 0o600)
    put(tree / "public")
    os.chmod(tree / "public", 0o644)
    assert as_user(lambda: open(tree / "secret").close()) == errno.EACCES
    assert as_user(lambda: open(tree / "public").close()) == 0
    assert as_user(lambda: open(tree / "public", "a").close()) == errno.EACCES
    assert as_user(lambda: open(tree / "new", "w").close()) == errno.EACCES
    assert as_user(lambda: os.unlink(tree / "public")) == errno.EACCES
    assert as_user(lambda: os.chmod(tree / "public", 0o777)) == errno.EPERM


def test_other_users_files(tree):
    """What another user makes belongs to that user."""
    os.chmod(tree, 0o777)
    assert as_user(lambda: open(tree / "mine", "w").close()) == 0
    assert as_user(lambda: os.mkdir(tree / "dir")) == 0
    assert os.stat(tree / "mine").st_uid == NOBODY
    assert os.stat(tree / "dir").st_gid == NOBODY


def test_setgid_directory(tree):
    """In a directory with the setgid bit, new files get its group."""
    os.mkdir(tree / "d")
    os.chown(tree / "d", 0, 4321)
    os.chmod(tree / "d", 0o2777)
    put(tree / "d/f")
    os.mkdir(tree / "d/e")
    assert os.stat(tree / "d/f").st_gid == 4321
    assert os.stat(tree / "d/e").st_gid == 4321


def test_write_clears_suid(tree):
    """A write by somebody without privileges takes the suid bit away."""
    put(tree / "f")
    os.chmod(tree / "f", 0o4777)

    def append():
        with open(tree / "f", "ab") as file:
            file.write(b"x")

    assert as_user(append) == 0
    assert stat.S_IMODE(os.stat(tree / "f").st_mode) == 0o777

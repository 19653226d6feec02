# SPDX-License-Identifier: Apache-2.0
"""What programs expect of any filesystem: files, their bytes and how they are opened."""

import errno
import mmap
import os
import stat
import subprocess
import threading
import time

import pytest

from lib.sys import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, NOBODY, as_user, fallocate


def put(path, data=b"data"):
    path.write_bytes(data)
    return path


def raises(code, function, *args, **more):
    """The call fails with that errno (or one of several)."""
    codes = code if isinstance(code, tuple) else (code,)
    with pytest.raises(OSError) as caught:
        function(*args, **more)
    assert caught.value.errno in codes, caught.value


# --- create and open ---


def test_create_read_stat(tree):
    """A new file has the bytes, the size and the mode that it was written with."""
    old = os.umask(0o027)
    try:
        fd = os.open(tree / "f", os.O_CREAT | os.O_WRONLY, 0o666)
    finally:
        os.umask(old)
    assert os.write(fd, b"hello") == 5
    os.close(fd)
    st = os.stat(tree / "f")
    assert (st.st_size, stat.S_IMODE(st.st_mode), st.st_nlink) == (5, 0o640, 1)
    assert (st.st_uid, st.st_gid) == (os.geteuid(), os.getegid())
    assert (tree / "f").read_bytes() == b"hello"
    assert st.st_blocks * 512 >= 5


def test_empty_file(tree):
    """A file that nothing was written to exists and is empty."""
    put(tree / "f", b"")
    assert os.stat(tree / "f").st_size == 0
    assert (tree / "f").read_bytes() == b""


def test_open_missing(tree):
    """What is not there is ENOENT, also below a missing directory; below a file it is ENOTDIR."""
    raises(errno.ENOENT, os.open, tree / "none", os.O_RDONLY)
    raises(errno.ENOENT, os.open, tree / "none/none", os.O_CREAT | os.O_WRONLY)
    put(tree / "f")
    raises(errno.ENOTDIR, os.open, tree / "f/x", os.O_RDONLY)


def test_excl(tree):
    """O_EXCL creates, and fails where the name exists, also as a dangling link."""
    os.close(os.open(tree / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    raises(errno.EEXIST, os.open, tree / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.symlink("nowhere", tree / "link")
    raises(errno.EEXIST, os.open, tree / "link", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def test_excl_race(tree):
    """Of many processes that create one name with O_EXCL, one succeeds."""
    children = [
        subprocess.Popen(["sh", "-C", "-c", f'sleep 0.2; : > "{tree}/f"'], stderr=subprocess.DEVNULL)
        for _ in range(8)
    ]
    codes = sorted(child.wait() for child in children)
    assert codes[0] == 0 and codes[1] != 0, codes


def test_append(tree):
    """O_APPEND writes at the end, wherever the offset is, and whoever else appends."""
    put(tree / "f", b"start\n")
    one = os.open(tree / "f", os.O_WRONLY | os.O_APPEND)
    two = os.open(tree / "f", os.O_WRONLY | os.O_APPEND)
    for i in range(50):
        os.lseek(one, 0, os.SEEK_SET)
        os.write(one, b"one %d\n" % i)
        os.write(two, b"two %d\n" % i)
    os.close(one)
    os.close(two)
    lines = (tree / "f").read_text().splitlines()
    assert lines[0] == "start"
    assert lines[1::2] == [f"one {i}" for i in range(50)]
    assert lines[2::2] == [f"two {i}" for i in range(50)]


def test_append_processes(tree):
    """Lines that several processes append are all there, whole."""
    script = f'i=0; while [ $i -lt 100 ]; do echo "$0-$i-xxxxxxxxxxxx" >> "{tree}/log"; i=$((i+1)); done'
    children = [subprocess.Popen(["sh", "-c", script, str(n)]) for n in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    lines = (tree / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{n}-{i}-xxxxxxxxxxxx" for n in range(4) for i in range(100))


def test_trunc(tree):
    """O_TRUNC empties, and a reader that has the file open sees it."""
    put(tree / "f", b"old" * 1000)
    with open(tree / "f", "rb", buffering=0) as reader:
        assert reader.read(3) == b"old"
        fd = os.open(tree / "f", os.O_WRONLY | os.O_TRUNC)
        assert os.fstat(fd).st_size == 0
        os.write(fd, b"new")
        os.close(fd)
    assert (tree / "f").read_bytes() == b"new"


def test_truncating_rewrite(tree):
    """A file that is written anew again and again always has what was written last."""
    for i in range(30):
        put(tree / "f", b"%d" % i * (30 - i))
        assert (tree / "f").read_bytes() == b"%d" % i * (30 - i)


@pytest.mark.not_plain
def test_tmpfile_refused(tree):
    """O_TMPFILE is refused in the way that makes programs fall back to a named file."""
    raises(
        (errno.EOPNOTSUPP, errno.EISDIR), os.open, tree, os.O_TMPFILE | os.O_WRONLY, 0o600
    )
    assert os.listdir(tree) == []


def test_access_modes(tree):
    """A descriptor does only what it was opened for."""
    put(tree / "f")
    fd = os.open(tree / "f", os.O_RDONLY)
    raises(errno.EBADF, os.write, fd, b"x")
    os.close(fd)
    fd = os.open(tree / "f", os.O_WRONLY)
    raises(errno.EBADF, os.read, fd, 1)
    os.close(fd)


def test_open_directory(tree):
    """A directory opens for reading only."""
    raises(errno.EISDIR, os.open, tree, os.O_WRONLY)
    raises(errno.EISDIR, os.open, tree, os.O_RDWR)
    os.close(os.open(tree, os.O_RDONLY | os.O_DIRECTORY))
    put(tree / "f")
    raises(errno.ENOTDIR, os.open, tree / "f", os.O_RDONLY | os.O_DIRECTORY)


def test_nofollow(tree):
    """O_NOFOLLOW refuses a link."""
    put(tree / "f")
    os.symlink("f", tree / "link")
    raises(errno.ELOOP, os.open, tree / "link", os.O_RDONLY | os.O_NOFOLLOW)


# --- bytes ---


def test_random_writes(tree):
    """Writes in any order and across each other give what they would give in memory."""
    import random

    rng = random.Random(1)
    size = 3 * 1024 * 1024
    model = bytearray(size)
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, size)
    for _ in range(400):
        at, length = rng.randrange(size), rng.randrange(1, 70000)
        data = rng.randbytes(min(length, size - at))
        assert os.pwrite(fd, data, at) == len(data)
        model[at : at + len(data)] = data
        at = rng.randrange(size)
        assert os.pread(fd, 5000, at) == bytes(model[at : at + 5000])
    os.close(fd)
    assert (tree / "f").read_bytes() == bytes(model)


def test_write_only_random(tree):
    """The same through a descriptor that cannot read."""
    fd = os.open(tree / "f", os.O_WRONLY | os.O_CREAT)
    for block in (3, 1, 2, 0):
        os.pwrite(fd, bytes([block]) * 4096, block * 4096)
    os.close(fd)
    assert (tree / "f").read_bytes() == b"".join(bytes([b]) * 4096 for b in range(4))


def test_sparse(tree):
    """What was never written reads as zeros."""
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"end", 20 * 1024 * 1024)
    assert os.pread(fd, 100, 10 * 1024 * 1024) == bytes(100)
    os.close(fd)
    data = (tree / "f").read_bytes()
    assert len(data) == 20 * 1024 * 1024 + 3
    assert data[-3:] == b"end" and not any(data[:-3])


def test_reader_sees_writer(tree):
    """A read after a write sees it, through whichever descriptors."""
    writer = os.open(tree / "f", os.O_WRONLY | os.O_CREAT)
    reader = os.open(tree / "f", os.O_RDONLY)
    for i in range(20):
        os.pwrite(writer, b"%04d" % i, 4 * i)
        assert os.pread(reader, 4, 4 * i) == b"%04d" % i
        assert os.fstat(reader).st_size == 4 * (i + 1)
        assert os.stat(tree / "f").st_size == 4 * (i + 1)
    os.close(writer)
    assert os.pread(reader, 100, 0) == b"".join(b"%04d" % i for i in range(20))
    os.close(reader)


def test_reader_before_writer(tree):
    """A file that is open for reading (passthrough, where there is any) can be written too."""
    put(tree / "f", b"a" * 8192)
    reader = os.open(tree / "f", os.O_RDONLY)
    assert os.pread(reader, 1, 0) == b"a"
    writer = os.open(tree / "f", os.O_RDWR)
    os.pwrite(writer, b"b", 0)
    assert os.pread(reader, 2, 0) == b"ba"
    assert os.pread(writer, 2, 0) == b"ba"
    os.close(reader)
    os.pwrite(writer, b"c", 8192)
    os.close(writer)
    assert (tree / "f").read_bytes() == b"b" + b"a" * 8191 + b"c"


def test_truncate_both_ways(tree):
    """A shorter file has lost its end for good, a longer one has zeros there."""
    put(tree / "f", b"x" * 10000)
    os.truncate(tree / "f", 5000)
    assert os.stat(tree / "f").st_size == 5000
    os.truncate(tree / "f", 9000)
    assert (tree / "f").read_bytes() == b"x" * 5000 + bytes(4000)
    os.truncate(tree / "f", 0)
    assert (tree / "f").read_bytes() == b""
    raises(errno.EINVAL, os.truncate, tree / "f", -1)


def test_ftruncate_open(tree):
    """An open file can be cut and grown, and what it then reads agrees."""
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"0123456789")
    os.ftruncate(fd, 4)
    assert os.pread(fd, 10, 0) == b"0123"
    os.ftruncate(fd, 6)
    assert os.pread(fd, 10, 0) == b"0123\0\0"
    assert os.fstat(fd).st_size == 6
    os.close(fd)
    assert (tree / "f").read_bytes() == b"0123\0\0"


def test_fallocate(tree):
    """Preallocation grows the file or keeps its size as asked; what is unsupported says so."""
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"data")
    for mode, size in ((FALLOC_FL_KEEP_SIZE, 4), (0, 100000)):
        try:
            fallocate(fd, mode, 0, 100000)
        except OSError as error:
            assert error.errno == errno.EOPNOTSUPP
        else:
            assert os.fstat(fd).st_size == size
    assert os.pread(fd, 4, 0) == b"data"
    os.close(fd)
    assert (tree / "f").read_bytes()[:6] in (b"data\0\0", b"data")


def test_punch_hole(tree):
    """A punched hole reads as zeros, or punching is refused and nothing changes."""
    put(tree / "f", b"x" * 65536)
    fd = os.open(tree / "f", os.O_RDWR)
    expected = b"x" * 65536
    try:
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 8192)
        expected = b"x" * 8192 + bytes(8192) + b"x" * 49152
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP
    os.close(fd)
    assert (tree / "f").read_bytes() == expected


def test_posix_fallocate(tree):
    """posix_fallocate works, by the filesystem or by the C library."""
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(fd, 0, 50000)
    assert os.fstat(fd).st_size == 50000
    os.close(fd)


def test_seek_hole(tree):
    """SEEK_DATA and SEEK_HOLE never deny data."""
    put(tree / "f", b"x" * 4096)
    fd = os.open(tree / "f", os.O_RDONLY)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 0
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 4096
    raises(errno.ENXIO, os.lseek, fd, 4096, os.SEEK_DATA)
    os.close(fd)


def test_copy_file_range_and_sendfile(tree):
    """Copies inside the kernel copy the bytes."""
    data = os.urandom(300000)
    put(tree / "a", data)
    source = os.open(tree / "a", os.O_RDONLY)
    for name, copy in (("b", os.copy_file_range), ("c", lambda i, o, n: os.sendfile(o, i, None, n))):
        os.lseek(source, 0, os.SEEK_SET)
        target = os.open(tree / name, os.O_WRONLY | os.O_CREAT)
        while copy(source, target, 1 << 20):
            pass
        os.close(target)
        assert (tree / name).read_bytes() == data
    os.close(source)


def test_vectored(tree):
    """pwritev and preadv."""
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    assert os.pwritev(fd, [b"ab", b"cde", b"f"], 2) == 6
    buffers = [bytearray(3), bytearray(5)]
    assert os.preadv(fd, buffers, 0) == 8
    assert bytes(buffers[0] + buffers[1]) == b"\0\0abcdef"
    os.close(fd)


def test_fsync(tree):
    """fsync, fdatasync and fsync of a directory succeed."""
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x")
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    fd = os.open(tree, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def test_dup_and_fork(tree):
    """Descriptors that are shared by dup and fork share their offset."""
    fd = os.open(tree / "f", os.O_RDWR | os.O_CREAT)
    other = os.dup(fd)
    os.write(fd, b"one")
    os.write(other, b"two")
    subprocess.run(["printf", "three"], stdout=fd, check=True)
    os.close(other)
    os.write(fd, b"four")
    os.close(fd)
    assert (tree / "f").read_bytes() == b"onetwothreefour"


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


# --- many at once ---


def test_threads_in_one_directory(tree):
    """Creating, renaming and deleting in one directory by many threads at once loses nothing."""
    problems = []

    def work(n):
        try:
            for i in range(60):
                put(tree / f"{n}-{i}.tmp", b"%d" % i)
                os.rename(tree / f"{n}-{i}.tmp", tree / f"{n}-{i}")
                if i % 3 == 0:
                    os.unlink(tree / f"{n}-{i}")
        except OSError as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    expected = {f"{n}-{i}" for n in range(6) for i in range(60) if i % 3}
    assert set(os.listdir(tree)) == expected
    assert all((tree / name).read_bytes() == name.split("-")[1].encode() for name in expected)

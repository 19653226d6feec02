# SPDX-License-Identifier: Apache-2.0
"""What programs expect of any filesystem: files, their bytes and how they are opened."""

import errno
import os
import stat
import subprocess
import threading

import pytest

from lib.files import put, raises
from lib.sys import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate

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

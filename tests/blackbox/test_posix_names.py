# SPDX-License-Identifier: Apache-2.0
"""What programs expect of any filesystem: names, directories, links, locks and xattrs."""

import errno
import fcntl
import os
import stat
import subprocess

import pytest

from lib.sys import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2
from lib.files import put, raises

# --- rename ---


def test_rename(tree):
    """A renamed file has its bytes and its inode under the new name only."""
    put(tree / "a", b"one")
    inode = os.stat(tree / "a").st_mtime_ns
    os.rename(tree / "a", tree / "b")
    assert (tree / "b").read_bytes() == b"one"
    assert os.stat(tree / "b").st_mtime_ns == inode
    raises(errno.ENOENT, os.stat, tree / "a")
    raises(errno.ENOENT, os.rename, tree / "a", tree / "c")
    assert os.listdir(tree) == ["b"]


def test_rename_over_file(tree):
    """A rename replaces an existing file; who has that open goes on with it."""
    put(tree / "new", b"new")
    put(tree / "old", b"old")
    with open(tree / "old", "rb") as reader:
        os.rename(tree / "new", tree / "old")
        assert reader.read() == b"old"
    assert (tree / "old").read_bytes() == b"new"
    assert os.listdir(tree) == ["old"]


def test_rename_open_file(tree):
    """A file that is renamed while it is written goes on under its new name."""
    fd = os.open(tree / "a", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"before ")
    os.rename(tree / "a", tree / "b")
    os.write(fd, b"after")
    os.close(fd)
    assert (tree / "b").read_bytes() == b"before after"
    raises(errno.ENOENT, os.stat, tree / "a")


def test_rename_across_directories(tree):
    """Files and directories move between directories."""
    os.makedirs(tree / "x/sub")
    os.makedirs(tree / "y")
    put(tree / "x/sub/f", b"deep")
    put(tree / "x/g", b"flat")
    os.rename(tree / "x/g", tree / "y/g")
    os.rename(tree / "x/sub", tree / "y/moved")
    assert (tree / "y/moved/f").read_bytes() == b"deep"
    assert (tree / "y/g").read_bytes() == b"flat"
    assert os.listdir(tree / "x") == []


def test_rename_directory_over_empty(tree):
    """A directory replaces an empty one, and no other."""
    os.makedirs(tree / "from")
    put(tree / "from/f")
    os.mkdir(tree / "empty")
    os.mkdir(tree / "full")
    put(tree / "full/x")
    raises((errno.ENOTEMPTY, errno.EEXIST), os.rename, tree / "from", tree / "full")
    os.rename(tree / "from", tree / "empty")
    assert os.listdir(tree / "empty") == ["f"]
    raises(errno.ENOENT, os.stat, tree / "from")


def test_rename_kinds(tree):
    """A file does not replace a directory, nor a directory a file, nor itself its own inside."""
    put(tree / "f")
    os.makedirs(tree / "d/inner")
    raises(errno.EISDIR, os.rename, tree / "f", tree / "d")
    raises(errno.ENOTDIR, os.rename, tree / "d", tree / "f")
    raises(errno.EINVAL, os.rename, tree / "d", tree / "d/inner/d")
    os.rename(tree / "f", tree / "f")
    assert (tree / "f").exists()


def test_rename_directory_with_open_files(tree):
    """Open files below a renamed directory go on."""
    os.makedirs(tree / "d/e")
    put(tree / "d/e/f", b"1234567890")
    fd = os.open(tree / "d/e/f", os.O_RDWR)
    reader = os.open(tree / "d/e/f", os.O_RDONLY)
    os.rename(tree / "d", tree / "n")
    os.pwrite(fd, b"X", 0)
    assert os.pread(reader, 3, 0) == b"X23"
    os.close(fd)
    os.close(reader)
    assert (tree / "n/e/f").read_bytes() == b"X234567890"


def test_rename_noreplace(tree):
    """RENAME_NOREPLACE renames, and refuses an existing target."""
    put(tree / "a", b"a")
    put(tree / "b", b"b")
    raises(errno.EEXIST, renameat2, tree / "a", tree / "b", RENAME_NOREPLACE)
    assert (tree / "b").read_bytes() == b"b"
    renameat2(tree / "a", tree / "c", RENAME_NOREPLACE)
    assert (tree / "c").read_bytes() == b"a"


@pytest.mark.not_plain
def test_rename_exchange_refused(tree):
    """RENAME_EXCHANGE is EINVAL, and nothing moves."""
    put(tree / "a", b"a")
    put(tree / "b", b"b")
    raises(errno.EINVAL, renameat2, tree / "a", tree / "b", RENAME_EXCHANGE)
    assert (tree / "a").read_bytes() == b"a"


def test_tmp_and_rename_many(tree):
    """The usual way to replace a file, many times: a reader sees an old or a new one, never none."""
    put(tree / "f", b"0" * 1000)
    for i in range(100):
        put(tree / "f.tmp", b"%d" % (i % 10) * 1000)
        os.replace(tree / "f.tmp", tree / "f")
        data = (tree / "f").read_bytes()
        assert data == b"%d" % (i % 10) * 1000
    assert os.listdir(tree) == ["f"]


# --- directories ---


def test_mkdir_rmdir(tree):
    """Directories are made with their mode and removed when they are empty."""
    os.mkdir(tree / "d", 0o750)
    st = os.stat(tree / "d")
    assert stat.S_ISDIR(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o750
    raises(errno.EEXIST, os.mkdir, tree / "d")
    put(tree / "d/f")
    raises((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, tree / "d")
    os.unlink(tree / "d/f")
    os.rmdir(tree / "d")
    raises(errno.ENOENT, os.rmdir, tree / "d")
    put(tree / "f")
    raises(errno.ENOTDIR, os.rmdir, tree / "f")
    raises(errno.EEXIST, os.mkdir, tree / "f")


def test_empty_directory_stays(tree):
    """A directory that mkdir made is there after its last file went."""
    os.makedirs(tree / "a/b/c")
    put(tree / "a/b/c/f")
    os.unlink(tree / "a/b/c/f")
    assert os.listdir(tree / "a/b/c") == []
    assert os.listdir(tree / "a") == ["b"]


def test_listing(tree):
    """A listing has every name once, with its type, and follows changes at once."""
    names = {f"file-{i}" for i in range(1000)}
    for name in names:
        put(tree / name, b"")
    os.mkdir(tree / "dir")
    os.symlink("dir", tree / "link")
    entries = list(os.scandir(tree))
    assert len(entries) == 1002
    assert {e.name for e in entries} == names | {"dir", "link"}
    assert [e.name for e in entries if e.is_dir(follow_symlinks=False)] == ["dir"]
    assert [e.name for e in entries if e.is_symlink()] == ["link"]
    os.unlink(tree / "file-7")
    assert len(os.listdir(tree)) == 1001


def test_delete_while_listing(tree):
    """Deleting what a listing returns, as rm -r does, reaches everything."""
    for i in range(500):
        put(tree / f"f{i}", b"")
    with os.scandir(tree) as entries:
        for entry in entries:
            os.unlink(entry.path)
    assert os.listdir(tree) == []


def test_directory_times(tree):
    """A directory's mtime moves when a name comes or goes."""
    os.mkdir(tree / "d")
    for change in (lambda: put(tree / "d/f"), lambda: os.unlink(tree / "d/f")):
        os.utime(tree / "d", ns=(10**9, 10**9))
        change()
        assert os.stat(tree / "d").st_mtime_ns > 10**9


def test_removed_working_directory(tree):
    """A directory that was removed under a process has no entries and takes none."""
    os.mkdir(tree / "d")
    fd = os.open(tree / "d", os.O_RDONLY)
    os.rmdir(tree / "d")
    raises(errno.ENOENT, os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.close(fd)


def test_deep_tree(tree):
    """Thirty levels of directories."""
    path = tree
    for i in range(30):
        path = path / f"level{i}"
    os.makedirs(path)
    put(path / "f", b"deep")
    assert (path / "f").read_bytes() == b"deep"
    subprocess.run(["rm", "-r", tree / "level0"], check=True)
    assert os.listdir(tree) == []


# --- links and nodes ---


def test_symlink(tree):
    """A link keeps its target as it was given, is followed, and may dangle."""
    put(tree / "f", b"target")
    for name, target in (("rel", "f"), ("abs", str(tree / "f")), ("odd", "no/such ü\n")):
        os.symlink(target, tree / name)
        assert os.readlink(tree / name) == target
        assert os.lstat(tree / name).st_size == len(os.fsencode(target))
    assert (tree / "rel").read_bytes() == (tree / "abs").read_bytes() == b"target"
    raises(errno.ENOENT, os.stat, tree / "odd")
    raises(errno.EEXIST, os.symlink, "x", tree / "rel")
    os.unlink(tree / "rel")
    assert (tree / "f").exists()
    raises(errno.EINVAL, os.readlink, tree / "f")


def test_symlink_directory(tree):
    """A link to a directory is a way into it."""
    os.mkdir(tree / "d")
    os.symlink("d", tree / "l")
    put(tree / "l/f", b"x")
    assert (tree / "d/f").read_bytes() == b"x"


def test_symlink_rename(tree):
    """A link is renamed as itself, and a file replaces it, not its target."""
    put(tree / "f", b"f")
    put(tree / "g", b"g")
    os.symlink("f", tree / "l")
    os.rename(tree / "l", tree / "m")
    assert os.readlink(tree / "m") == "f"
    os.rename(tree / "g", tree / "m")
    assert (tree / "f").read_bytes() == b"f" and (tree / "m").read_bytes() == b"g"
    assert not (tree / "m").is_symlink()


@pytest.mark.not_plain
def test_hard_link_refused(tree):
    """Hard links are refused in the way that makes programs copy."""
    put(tree / "f")
    raises((errno.EOPNOTSUPP, errno.EPERM), os.link, tree / "f", tree / "g")
    assert os.listdir(tree) == ["f"]


@pytest.mark.not_plain
def test_nodes_refused(tree):
    """Devices, FIFOs and sockets are refused."""
    refused = (errno.EOPNOTSUPP, errno.EPERM)
    raises(refused, os.mknod, tree / "c", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    raises(refused, os.mknod, tree / "b", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    raises(refused, os.mkfifo, tree / "p")
    assert os.listdir(tree) == []


def test_mknod_regular(tree):
    """mknod of a regular file makes one."""
    os.mknod(tree / "f", stat.S_IFREG | 0o640)
    assert stat.S_IMODE(os.stat(tree / "f").st_mode) == 0o640


# --- names ---


def test_long_names(tree):
    """255 bytes are a name, 256 are ENAMETOOLONG."""
    put(tree / ("n" * 255), b"long")
    assert (tree / ("n" * 255)).read_bytes() == b"long"
    assert os.listdir(tree) == ["n" * 255]
    for call in (os.stat, os.mkdir, os.unlink):
        raises(errno.ENAMETOOLONG, call, tree / ("n" * 256))


@pytest.mark.not_plain
def test_long_keys(tree):
    """A path that is longer than a store's key may be is refused when it is made."""
    path = str(tree)
    for _ in range(4):
        path += "/" + "k" * 250
        try:
            os.mkdir(path)
        except OSError as error:
            assert error.errno == errno.ENAMETOOLONG
            return
    raises(errno.ENAMETOOLONG, os.open, path + "/" + "f" * 250, os.O_CREAT | os.O_WRONLY)


ODD = [
    " ", " leading", "trailing ", "a b", "a+b", "a%20b", "%2F", "#", "?", "&=", "~", "'\"`", "\\", "*",
    "-rf", "...", ".hidden", "ü", "u\u0308", "日本語", "🎞", "new\nline", "tab\t", "colon:x", "<xml>&amp;",
    "@", "$HOME", "a;b", "|", "{tenant}", "con", "a..b",
]  # fmt: skip


def test_odd_names(tree):
    """Names with any characters work in every way, and stay different from each other."""
    for name in ODD:
        put(tree / name, name.encode())
    assert set(os.listdir(tree)) == set(ODD)
    for name in ODD:
        assert (tree / name).read_bytes() == name.encode()
    os.mkdir(tree / "to")
    for name in ODD:
        os.rename(tree / name, tree / "to" / name)
    assert set(os.listdir(tree / "to")) == set(ODD)
    for name in ODD:
        os.unlink(tree / "to" / name)


def test_case_matters(tree):
    """Names that differ in case are different."""
    put(tree / "A", b"upper")
    put(tree / "a", b"lower")
    assert (tree / "A").read_bytes() == b"upper"


# --- locks ---


def test_flock(tree):
    """flock excludes other processes and goes with the descriptor."""
    put(tree / "f")
    command = ["flock", "--nonblock", str(tree / "f"), "true"]
    with open(tree / "f") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert subprocess.run(command).returncode == 1
        fcntl.flock(file, fcntl.LOCK_UN)
        assert subprocess.run(command).returncode == 0


LOCKER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, int(sys.argv[3]), int(sys.argv[2]))
except OSError:
    sys.exit(1)
"""


def test_fcntl_lock(tree):
    """fcntl locks ranges between processes."""
    put(tree / "f", b"x" * 100)
    with open(tree / "f", "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 0)

        def other(start, length):
            command = ["/usr/bin/env", "python3", "-c", LOCKER, str(tree / "f"), str(start), str(length)]
            return subprocess.run(command).returncode

        assert other(5, 1) == 1
        assert other(50, 10) == 0
        fcntl.lockf(file, fcntl.LOCK_UN, 10, 0)
        assert other(5, 1) == 0


# --- xattrs ---


def test_xattrs(tree):
    """User xattrs are set, read, listed, replaced and removed, on files and directories."""
    put(tree / "f")
    os.mkdir(tree / "d")
    for path in (tree / "f", tree / "d"):
        os.setxattr(path, "user.one", b"1")
        os.setxattr(path, "user.two", b"binary\0\xff")
        assert os.getxattr(path, "user.one") == b"1"
        assert os.getxattr(path, "user.two") == b"binary\0\xff"
        assert {"user.one", "user.two"} <= set(os.listxattr(path))
        os.setxattr(path, "user.one", b"changed")
        assert os.getxattr(path, "user.one") == b"changed"
        os.removexattr(path, "user.one")
        raises(errno.ENODATA, os.getxattr, path, "user.one")
        raises(errno.ENODATA, os.removexattr, path, "user.one")
        assert "user.one" not in os.listxattr(path)


def test_xattr_flags(tree):
    """XATTR_CREATE and XATTR_REPLACE hold."""
    put(tree / "f")
    raises(errno.ENODATA, os.setxattr, tree / "f", "user.x", b"1", os.XATTR_REPLACE)
    os.setxattr(tree / "f", "user.x", b"1", os.XATTR_CREATE)
    raises(errno.EEXIST, os.setxattr, tree / "f", "user.x", b"2", os.XATTR_CREATE)
    os.setxattr(tree / "f", "user.x", b"3", os.XATTR_REPLACE)
    assert os.getxattr(tree / "f", "user.x") == b"3"


def test_xattr_empty(tree):
    """An empty value is a value."""
    put(tree / "f")
    os.setxattr(tree / "f", "user.empty", b"")
    assert os.getxattr(tree / "f", "user.empty") == b""
    assert "user.empty" in os.listxattr(tree / "f")


def test_xattr_follows_file(tree):
    """xattrs go with a rename and stay through writes."""
    put(tree / "f")
    os.setxattr(tree / "f", "user.x", b"kept")
    with open(tree / "f", "ab") as file:
        file.write(b"more")
    os.rename(tree / "f", tree / "g")
    assert os.getxattr(tree / "g", "user.x") == b"kept"


# --- the control directory ---


@pytest.mark.not_plain
def test_control_directory_is_hidden(tree, shared):
    """.cogfs is found by name, not listed, and its name is taken."""
    assert ".cogfs" not in os.listdir(shared.dir)
    assert (shared / ".cogfs/stats.json").read_text().startswith("{")
    refused = (errno.EEXIST, errno.EPERM, errno.EACCES, errno.EINVAL, errno.EISDIR, errno.ENOTEMPTY,
               errno.EROFS, errno.EBUSY)  # fmt: skip
    raises(refused, os.mkdir, shared / ".cogfs")
    raises(refused, os.rename, tree, shared / ".cogfs")
    raises(refused, os.rmdir, shared / ".cogfs")


@pytest.mark.not_plain
def test_control_name_below(tree):
    """Below the root, .cogfs is a name like any other."""
    os.mkdir(tree / ".cogfs")
    put(tree / ".cogfs/f", b"x")
    assert (tree / ".cogfs/f").read_bytes() == b"x"

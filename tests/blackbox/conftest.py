# SPDX-License-Identifier: Apache-2.0
"""
Fixtures of the black-box tests. They run $COGFS_BIN on real mounts, as root.

    COGFS_TEST_STORE=s3|dir         the cold tier: versitygw ($VERSITYGW), or a directory
    COGFS_TEST_PASSTHROUGH=on|off   how resident objects are read
    COGFS_TEST_BUILD=asan|tsan|...  sanitizer builds get more time
    COGFS_TEST_ALL=1                the large sizes
    COGFS_TEST_ROUNDS=20            rounds of the crash tests
    COGFS_TEST_PLAIN=DIR            no cogfs at all: what must hold on any filesystem is run in DIR,
                                    to test the tests

A test that uses `tree` gets a directory of its own in a mount that its file's tests share; one that uses
`new_mount` makes mounts of its own. Everything that a test started is ended after it.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from lib.mounts import COGFS, Mount, Watchdog  # noqa: E402
from lib.servers import DirStore, S3Store, Versitygw, versitygw_binary  # noqa: E402
from lib.wait import SLOW, adopt_orphans, eventually, stuck_processes  # noqa: E402

PLAIN = os.environ.get("COGFS_TEST_PLAIN")
STORE = os.environ.get("COGFS_TEST_STORE", "s3")
TEST_SECONDS = 200


def pytest_configure(config):
    config.addinivalue_line("markers", "s3: needs the S3 store")
    config.addinivalue_line("markers", "not_plain: says something that only cogfs does")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("s3") and STORE != "s3":
            item.add_marker(pytest.mark.skip(reason="about the network: the store is a directory"))
        if PLAIN and (
            item.get_closest_marker("not_plain")
            or item.get_closest_marker("s3")
            or "new_mount" in item.fixturenames
        ):
            item.add_marker(pytest.mark.skip(reason="COGFS_TEST_PLAIN: no cogfs here"))


def pytest_sessionstart(session):
    if PLAIN or session.config.option.collectonly:
        return
    if os.geteuid() != 0:
        pytest.exit("the black-box tests mount: run them as root", 2)
    if not os.access(COGFS, os.X_OK):
        pytest.exit(f"COGFS_BIN={COGFS!r} is no program", 2)
    if STORE == "s3" and not versitygw_binary():
        pytest.exit("no versitygw: run tools/deps.sh --test, or set VERSITYGW", 2)
    adopt_orphans()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows what the mounts of the test wrote to their logs."""
    report = (yield).get_result()
    if call.when == "call" and report.failed:
        for mount in getattr(item, "mounts", []):
            report.sections.append((f"log of {mount.base.name}", mount.log_tail(60)))


@pytest.fixture(scope="session")
def base():
    """A directory on a real disk: user xattrs, hard links, reflinks where there are any."""
    path = Path(tempfile.mkdtemp(prefix="cogfs-test-", dir=os.environ.get("COGFS_TEST_TMP", "/var/tmp")))
    os.chmod(path, 0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def server(base):
    if STORE != "s3" or PLAIN:
        yield None
        return
    server = Versitygw(base)
    yield server
    server.close()


@pytest.fixture(scope="session")
def new_store(base, server):
    count = iter(range(1000000))

    def make():
        return S3Store(server) if STORE == "s3" else DirStore(base / f"store-{next(count)}")

    return make


@pytest.fixture
def store(new_store):
    return new_store()


@pytest.fixture(scope="session", autouse=True)
def nobody_is_stuck():
    """At the very end, no process waits in the kernel for a server."""
    yield
    eventually(lambda: not stuck_processes(), 10, "the end of all processes in D state")


class Factory:
    """Makes mounts and ends them all."""

    def __init__(self, base, item, watchdog=None):
        self.base, self.item, self.watchdog = base, item, watchdog
        self.mounts = []
        if item is not None and not hasattr(item, "mounts"):
            item.mounts = []

    def __call__(self, name, store, start=True, **settings):
        mount = Mount(self.base / name, store, **settings)
        self.mounts.append(mount)
        if self.item is not None:
            self.item.mounts.append(mount)
        if self.watchdog:
            self.watchdog.mounts.append(mount)
        return mount.start() if start else mount

    def close(self):
        for mount in reversed(self.mounts):
            mount.destroy()
        shutil.rmtree(self.base, ignore_errors=True)


@pytest.fixture
def new_mount(base, request):
    """new_mount("a", store, config={...}, ram={...}, disk={...}, cold={...}, start=True)"""
    watchdog = Watchdog(TEST_SECONDS * SLOW)
    folder = Path(tempfile.mkdtemp(prefix="t-", dir=base))
    os.chmod(folder, 0o711)
    factory = Factory(folder, request.node, watchdog)
    yield factory
    factory.close()
    watchdog.close()


@pytest.fixture(scope="module")
def shared(base, new_store):
    """One mount for the tests of a file."""
    folder = Path(tempfile.mkdtemp(prefix="m-", dir=base))
    os.chmod(folder, 0o711)
    factory = Factory(folder, None)
    mount = factory("shared", new_store())
    yield mount
    factory.close()


@pytest.fixture
def tree(request):
    """An empty directory to work in: on the shared mount, or below COGFS_TEST_PLAIN."""
    if PLAIN:
        path = Path(tempfile.mkdtemp(prefix="t-", dir=PLAIN))
        os.chmod(path, 0o755)
        yield path
        shutil.rmtree(path, ignore_errors=True)
        return
    mount = request.getfixturevalue("shared")
    watchdog = Watchdog(TEST_SECONDS * SLOW)
    watchdog.mounts.append(mount)
    request.node.mounts = [mount]
    path = Path(tempfile.mkdtemp(prefix="t-", dir=mount.dir))
    os.chmod(path, 0o755)
    yield path
    watchdog.close()


@pytest.fixture
def scratch(base):
    """An empty directory outside of any mount."""
    path = Path(tempfile.mkdtemp(prefix="s-", dir=PLAIN or base))
    yield path
    shutil.rmtree(path, ignore_errors=True)

# SPDX-License-Identifier: Apache-2.0
"""System calls that Python has no function for, and code run as another user."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
NOBODY = 65534


def _check(result, *paths):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), *paths)
    return result


def renameat2(old, new, flags):
    _check(
        libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags), str(old)
    )


def fallocate(fd, mode, offset, length):
    _check(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def as_user(function, uid=NOBODY):
    """
    Runs function in a child with that uid and gid and no further groups. Returns 0, or the errno of
    its OSError.
    """
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            function()
            code = 0
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code != 255, "the child failed otherwise than with an OSError"
    return code

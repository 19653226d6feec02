# SPDX-License-Identifier: Apache-2.0
"""Small helpers for tests about files."""

import pytest


def put(path, data=b"data"):
    path.write_bytes(data)
    return path


def raises(code, function, *args, **more):
    """The call fails with that errno (or one of several)."""
    codes = code if isinstance(code, tuple) else (code,)
    with pytest.raises(OSError) as caught:
        function(*args, **more)
    assert caught.value.errno in codes, caught.value

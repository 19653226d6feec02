# SPDX-License-Identifier: Apache-2.0
"""The S3 server that the tests run against, and the stores as seen past cogfs."""

import os
import shutil
import socket
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lib.flaky import Flaky
from lib.wait import eventually

ACCESS, SECRET, REGION = "test-access", "test-secret-key", "us-east-1"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def versitygw_binary():
    return os.environ.get("VERSITYGW") or shutil.which("versitygw")


class Versitygw:
    """versitygw over a directory, on a free port of 127.0.0.1."""

    def __init__(self, base):
        self.dir = Path(base) / "versitygw"
        self.dir.mkdir()
        self.port = free_port()
        self.log = open(Path(base) / "versitygw.log", "wb")
        self.process = subprocess.Popen(
            [
                versitygw_binary(),
                "--port", f"127.0.0.1:{self.port}",
                "--access", ACCESS,
                "--secret", SECRET,
                "--region", REGION,
                "--keep-alive",
                "--quiet",
                "posix", str(self.dir),
            ],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )  # fmt: skip
        eventually(self._listens, 20, "versitygw's port")
        self.client = self._client()

    def _listens(self):
        assert self.process.poll() is None, "versitygw ended"
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def _client(self):
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"max_attempts": 2},
                max_pool_connections=32,
            ),
        )

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Store:
    """What both kinds of store can do."""

    def put_many(self, objects):
        """{key: bytes}, several at a time."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: self.put(*item), objects.items()))


class S3Store(Store):
    """One bucket. Reads and writes it directly, not through the mounts' proxies."""

    kind = "s3"

    def __init__(self, server):
        self.server = server
        self.client = server.client
        self.bucket = "b-" + uuid.uuid4().hex[:12]
        self.client.create_bucket(Bucket=self.bucket)

    def proxy(self):
        return Flaky(self.server.port)

    def tier(self, proxy):
        """The cold tier of a mount's configuration."""
        return {
            "name": "cold",
            "type": "s3",
            "bucket": self.bucket,
            "endpoint": f"http://127.0.0.1:{proxy.port}",
            "region": REGION,
            "path_style": "on",
            "access_key": ACCESS,
            "secret_key": SECRET,
            "part_size": "5MiB",
        }

    def keys(self, prefix=""):
        """{key: size} of all objects but cogfs's own."""
        found, token = {}, {}
        while True:
            page = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **token)
            for entry in page.get("Contents", []):
                if "/.cogfs/" not in "/" + entry["Key"]:
                    found[entry["Key"]] = entry["Size"]
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def get(self, key):
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def put(self, key, data, metadata=None):
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data, Metadata=metadata or {})

    def metadata(self, key):
        return self.client.head_object(Bucket=self.bucket, Key=key)["Metadata"]

    def delete(self, key):
        self.client.delete_object(Bucket=self.bucket, Key=key)


class DirStore(Store):
    """A plain directory as the cold tier."""

    kind = "dir"

    def __init__(self, path):
        self.path = Path(path)
        self.path.mkdir(parents=True)

    def proxy(self):
        return None

    def tier(self, proxy):
        return {"name": "cold", "type": "dir", "path": str(self.path)}

    def keys(self, prefix=""):
        found = {}
        for folder, folders, files in os.walk(self.path):
            below = Path(folder).relative_to(self.path)
            folders[:] = [name for name in folders if not name.startswith(".cogfs")]
            for name in files:
                if name.startswith(".cogfs"):
                    continue
                key = str(below / name)
                if key.startswith(prefix):
                    found[key] = (Path(folder) / name).stat().st_size
        return found

    def get(self, key):
        return (self.path / key).read_bytes()

    def put(self, key, data, metadata=None):
        """As another program would: a new file renamed into place."""
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.parent / ("put-" + uuid.uuid4().hex)
        temporary.write_bytes(data)
        temporary.rename(target)

    def delete(self, key):
        (self.path / key).unlink(missing_ok=True)

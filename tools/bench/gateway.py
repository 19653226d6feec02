# SPDX-License-Identifier: Apache-2.0
"""versitygw over a directory, and presigned URLs for clients that cannot sign."""

import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ACCESS, SECRET, REGION = "bench-access", "bench-secret-key", "us-east-1"


def find_versitygw():
    tools = os.environ.get("COGFS_TOOLS_DIR", "/var/cache/cogfs-build/tools")
    for path in (os.environ.get("VERSITYGW"), f"{tools}/bin/versitygw", shutil.which("versitygw")):
        if path and os.access(path, os.X_OK):
            return path
    return None


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Gateway:
    bucket = "bench"

    def __init__(self, folder):
        self.port = free_port()
        data = Path(folder) / "gateway"
        data.mkdir()
        self.log = open(Path(folder) / "gateway.log", "wb")
        command = [
            find_versitygw(), "--port", f"127.0.0.1:{self.port}", "--access", ACCESS, "--secret", SECRET,
            "--region", REGION, "--keep-alive", "--quiet", "posix", str(data),
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self._wait()
        self._request("PUT", f"/{self.bucket}", b"")

    def _wait(self):
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("versitygw does not start") from None
                time.sleep(0.05)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def sign(self, method, path):
        """Path and query of a presigned request."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{ACCESS}/{scope}",
            "X-Amz-Date": now,
            "X-Amz-Expires": "86400",
            "X-Amz-SignedHeaders": "host",
        }
        path = urllib.parse.quote(path)
        line = urllib.parse.urlencode(query, quote_via=urllib.parse.quote, safe="")
        host = f"host:127.0.0.1:{self.port}"
        canonical = "\n".join([method, path, line, host, "", "host", "UNSIGNED-PAYLOAD"])
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{SECRET}".encode()
        for part in scope.split("/"):
            key = _hmac(key, part)
        signature = _hmac(key, "\n".join(["AWS4-HMAC-SHA256", now, scope, digest])).hex()
        return f"{path}?{line}&X-Amz-Signature={signature}"

    def get_path(self, key):
        return self.sign("GET", f"/{self.bucket}/{key}")

    def get_url(self, key):
        return f"http://127.0.0.1:{self.port}{self.get_path(key)}"

    def _request(self, method, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, self.sign(method, path), body=body)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]}")

    def put(self, key, body):
        self._request("PUT", f"/{self.bucket}/{key}", body)

    def put_many(self, objects):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: self.put(*item), objects))

    def tier(self):
        """The cold tier of a mount's configuration."""
        return {
            "name": "cold",
            "type": "s3",
            "bucket": self.bucket,
            "endpoint": f"http://127.0.0.1:{self.port}",
            "region": REGION,
            "path_style": "on",
            "access_key": ACCESS,
            "secret_key": SECRET,
        }

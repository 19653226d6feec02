# SPDX-License-Identifier: Apache-2.0
"""
A TCP proxy between one mount and its S3 server: counts requests, and goes wrong on demand.

It reads the requests (start line, headers, Content-Length) and passes the bytes on unchanged. What goes
wrong can be limited to requests that `only(request)` accepts.
"""

import socket
import struct
import threading
import time
from urllib.parse import unquote, urlsplit

CHUNK = 256 * 1024


class Request:
    def __init__(self, method, target):
        self.method = method
        self.target = target
        parts = urlsplit(target)
        self.path = unquote(parts.path)  # "/bucket/key"
        self.query = parts.query
        self.began = time.monotonic()
        self.answered = None  # first byte of the answer
        self.headers = {}  # names in lower case

    def key(self):
        return self.path.split("/", 2)[2] if self.path.count("/") >= 2 else ""

    def __repr__(self):
        return f"{self.method} {self.target}"


class Faults:
    """What goes wrong at present."""

    def __init__(self):
        self.only = lambda request: True
        self.delay = 0.0  # seconds before each answer
        self.hang = False  # requests go in, nothing comes out
        self.cut_after = None  # bytes of an answer's body, then the connection is reset
        self.hang_after = None  # bytes of an answer's body, then silence
        self.answer = None  # a whole HTTP answer instead of the server's
        self.times = None  # how many requests are hit; None = all


class Flaky:
    def __init__(self, upstream_port):
        self.upstream_port = upstream_port
        self.requests = []
        self.lock = threading.Lock()
        self.faults = Faults()
        self.healed = threading.Event()  # set and replaced by heal(): ends what waits
        self.connections = set()
        self.listener = None
        self.port = 0
        self.start()

    # --- what tests use ---

    def start(self):
        assert self.listener is None
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self):
        """The server is gone: connections are reset, new ones refused."""
        if self.listener is None:
            return
        listener, self.listener = self.listener, None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self._reset_all()

    def fail(self, only=None, **what):
        """fail(delay=5), fail(hang=True), fail(answer=http(503), only=lambda r: r.method == "PUT")"""
        faults = Faults()
        if only:
            faults.only = only
        for name, value in what.items():
            assert hasattr(faults, name), name
            setattr(faults, name, value)
        self.faults = faults

    def heal(self):
        """All is well again; what was held goes on."""
        self.faults = Faults()
        self.healed.set()
        self.healed = threading.Event()
        if self.listener is None:
            self.start()

    def close(self):
        self.stop()
        self.healed.set()

    def seen(self, method=None, key=None):
        """Requests so far, all or by method and by a part of the key or of the query."""
        with self.lock:
            return [
                r
                for r in self.requests
                if (method is None or r.method == method)
                and (key is None or key in unquote(r.target))
            ]

    def count(self, method=None, key=None):
        return len(self.seen(method, key))

    # --- inside ---

    def _reset_all(self):
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            _reset(connection)

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            server = socket.create_connection(("127.0.0.1", self.upstream_port), timeout=10)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.connections.update((client, server))
        pair = _Pair(self, client, server)
        back = threading.Thread(target=pair.server_to_client, daemon=True)
        back.start()
        pair.client_to_server()
        back.join()
        with self.lock:
            self.connections.difference_update((client, server))
        client.close()
        server.close()

    def log(self, request):
        with self.lock:
            self.requests.append(request)

    def take(self, request):
        """The faults that hit this request, or None."""
        faults = self.faults
        if not faults.only(request):
            return None
        with self.lock:
            if faults.times is not None:
                if faults.times == 0:
                    return None
                faults.times -= 1
        return faults


class _Pair:
    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        self.current = None  # the request whose answer comes next
        self.faults = None

    def client_to_server(self):
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = self.client.recv(CHUNK)
                    if not data:
                        raise ConnectionError
                    buffer += data
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                buffer = self._one_request(head + b"\r\n\r\n", buffer)
        except (OSError, ConnectionError):
            _shut(self.server, socket.SHUT_WR)

    def _one_request(self, head, buffer):
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        request = Request(method, target)
        length = 0
        expects = False
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            request.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"expect":
                expects = True
        self.proxy.log(request)
        faults = self.proxy.take(request)
        if faults and faults.answer is not None:
            if not expects:
                self._skip(buffer, length)
            self.client.sendall(faults.answer)
            _shut(self.client, socket.SHUT_RDWR)
            raise ConnectionError
        self.current, self.faults = request, faults
        self.server.sendall(head)
        return self._pass_body(buffer, length)

    def _skip(self, buffer, length):
        left = length - len(buffer)
        while left > 0:
            data = self.client.recv(min(CHUNK, left))
            if not data:
                raise ConnectionError
            left -= len(data)

    def _pass_body(self, buffer, length):
        body, rest = buffer[:length], buffer[length:]
        left = length - len(body)
        if body:
            self.server.sendall(body)
        while left > 0:
            data = self.client.recv(min(CHUNK, left))
            if not data:
                raise ConnectionError
            self.server.sendall(data)
            left -= len(data)
        return rest

    def server_to_client(self):
        answer = None
        try:
            while True:
                data = self.server.recv(CHUNK)
                if not data:
                    break
                if answer is None or answer.request is not self.current:
                    answer = _Answer(self.current, self.faults)
                    self._wait(answer.faults)
                    if answer.request:
                        answer.request.answered = time.monotonic()
                self._forward(answer, data)
        except (OSError, ConnectionError):
            pass
        _shut(self.client, socket.SHUT_RDWR)
        _shut(self.server, socket.SHUT_RDWR)

    def _wait(self, faults):
        if not faults:
            return
        if faults.hang:
            self.proxy.healed.wait()
        elif faults.delay:
            self.proxy.healed.wait(faults.delay)

    def _forward(self, answer, data):
        limit = answer.limit()
        if limit is None:
            self.client.sendall(data)
            return
        allowed = answer.room(data, limit)
        self.client.sendall(data[:allowed])
        if allowed == len(data):
            return
        if answer.faults.hang_after is not None:
            self.proxy.healed.wait()
        _reset(self.client)
        raise ConnectionError


class _Answer:
    """How much of an answer's body went through."""

    def __init__(self, request, faults):
        self.request, self.faults = request, faults
        self.head, self.in_body, self.body = b"", False, 0

    def limit(self):
        if not self.faults:
            return None
        if self.faults.cut_after is not None:
            return self.faults.cut_after
        return self.faults.hang_after

    def room(self, data, limit):
        """How many bytes of data may pass."""
        before = 0
        if not self.in_body:
            old = len(self.head)
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return len(data)
            before = end + 4 - old
            self.in_body = True
        allowed = min(len(data) - before, limit - self.body)
        self.body += allowed
        return before + allowed


def http(status, body=b"", headers=""):
    """A whole answer, for fail(answer=...)."""
    if isinstance(body, str):
        body = body.encode()
    head = f"HTTP/1.1 {status} Test\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return (head + headers + "\r\n").encode() + body


def s3_error(status, code, headers=""):
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{code}</Code><Message>test</Message><RequestId>test</RequestId></Error>"
    )
    return http(status, body, "Content-Type: application/xml\r\n" + headers)


def _shut(sock, how):
    try:
        sock.shutdown(how)
    except OSError:
        pass


def _reset(sock):
    """Closes with RST instead of FIN."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An S3 that misbehaves on request, for what no real server can be made to do.

    s3stub.py [--port N] [--bucket NAME]... [--access-key KEY] [--plan FILE] [--cert PEM]

Prints "PORT n" when it listens (on 127.0.0.1; with --cert, a key and a certificate,
it speaks TLS), and ends when its standard input does.
Behind it is the tiny S3 of s3mem.py. A plan is a list of rules in JSON; the first
that matches a request and is not used up decides what happens to it:

    method, path, query   regular expressions that must match (whole; missing: any)
    skip                  so many matching requests pass first
    times                 so many are hit then (missing: all)
    do                    what happens:
      "status"    answers status, with <Error><Code>code</Code></Error> or the text
                  body, and headers
      "error200"  200 with an <Error> in the body
      "delay"     serves it after so many seconds
      "half"      serves it, but stops in the middle of the body (after bytes, if
                  given) and closes; with hold, stays silent for so many seconds first
      "slow"      serves it at rate bytes a second
      "silent"    no answer at all for seconds (60), then closes
      "close"     closes without an answer
      "garbage"   answers what is no HTTP
      "redirect"  307 to location
      "html"      a page of a proxy's, with status (404)
    effect                the request takes effect before it fails

    PUT /_stub/plan       replaces the plan (JSON list)
    GET /_stub/log        all requests since the start or the last DELETE: method, path,
                          query, headers, length, status (null: none was sent)
    DELETE /_stub/log
    DELETE /_stub/store   forgets objects, uploads, plan and log; buckets stay
    PUT /_stub/age        makes all uploads so many seconds (the body) older
"""

import argparse
import json
import re
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from s3mem import Answer, Request, S3Error, Store, error_xml


class Hangup(Exception):
    """The connection ends here, whatever was promised."""


class Rule:
    def __init__(self, text):
        self.match = {k: re.compile(text[k]) for k in ("method", "path", "query") if k in text}
        self.skip, self.times = text.get("skip", 0), text.get("times", -1)
        self.what = text

    def hits(self, method, path, query):
        have = {"method": method, "path": path, "query": query}
        if self.times == 0 or not all(p.fullmatch(have[k]) for k, p in self.match.items()):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Stub:
    def __init__(self, store, plan):
        self.store, self.lock = store, threading.Lock()
        self.rules, self.log = [Rule(r) for r in plan], []

    def rule_for(self, method, path, query):
        with self.lock:
            return next((r.what for r in self.rules if r.hits(method, path, query)), None)

    def control(self, method, path, body):
        with self.lock:
            if (method, path) == ("PUT", "/_stub/plan"):
                self.rules = [Rule(r) for r in json.loads(body)]
            elif (method, path) == ("GET", "/_stub/log"):
                return Answer(200, {"Content-Type": "application/json"}, json.dumps(self.log).encode())
            elif (method, path) == ("DELETE", "/_stub/log"):
                self.log = []
            elif (method, path) == ("DELETE", "/_stub/store"):
                self.rules, self.log, self.store.uploads = [], [], {}
                self.store.buckets = {name: {} for name in self.store.buckets}
            elif (method, path) == ("PUT", "/_stub/age"):
                for upload in self.store.uploads.values():
                    upload.initiated -= float(body)
            else:
                return Answer(404)
        return Answer(204)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "s3stub"
    # Headers and body leave in one segment, and what was written is sent before we fail.
    wbufsize = 0
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        url = urlsplit(self.path)
        self.entry = {
            "method": self.command,
            "path": unquote(url.path),
            "query": url.query,
            "headers": {k.lower(): v for k, v in self.headers.items() if k.lower() != "authorization"},
            "length": length,
            "status": None,
        }
        try:
            body = self.rfile.read(length)
            if len(body) < length:
                raise Hangup
            if url.path.startswith("/_stub/"):
                self.send(self.server.stub.control(self.command, url.path, body))
                return
            with self.server.stub.lock:
                self.server.stub.log.append(self.entry)
            self.serve(url, body)
        except (Hangup, OSError):
            self.close_connection = True
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def serve(self, url, body):
        rule = self.server.stub.rule_for(self.command, unquote(url.path), url.query)
        if rule is None:
            self.send(self.run(url, body))
            return
        if rule.get("effect"):
            self.run(url, body)
        getattr(self, "do_fault_" + rule["do"])(rule, url, body)

    def run(self, url, body):
        """The request's effect and its answer, which may be an error."""
        bucket, _, key = url.path.lstrip("/").partition("/")
        request = Request(
            self.command,
            unquote(bucket),
            unquote(key, errors="surrogateescape"),
            dict(parse_qsl(url.query, keep_blank_values=True)),
            {k.lower(): v for k, v in self.headers.items()},
            body,
        )
        try:
            return self.server.stub.store.serve(request)
        except S3Error as e:
            return self.error(e.status, e.code, e.message, e.headers)

    @staticmethod
    def error(status, code, message="", headers=None):
        headers = {"Content-Type": "application/xml", **(headers or {})}
        return Answer(status, headers, error_xml(code, message).encode())

    # --- sending ---

    def send_head(self, answer):
        self.entry["status"] = answer.status
        self.send_response(answer.status)
        self.send_header("x-amz-request-id", "STUB%012d" % len(self.server.stub.log))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def send(self, answer):
        self.send_head(answer)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    # --- faults ---

    def do_fault_status(self, rule, url, body):
        headers = rule.get("headers", {})
        if "code" in rule:
            answer = self.error(rule["status"], rule["code"], rule.get("message", "by plan"), headers)
        else:
            answer = Answer(rule["status"], headers, rule.get("body", "").encode())
        self.send(answer)

    def do_fault_error200(self, rule, url, body):
        self.send(self.error(200, rule.get("code", "InternalError"), "by plan"))

    def do_fault_delay(self, rule, url, body):
        time.sleep(rule.get("seconds", 5))
        self.send(self.run(url, body))

    def do_fault_half(self, rule, url, body):
        answer = self.run(url, body)
        self.send_head(answer)
        self.wfile.write(answer.body[: rule.get("after", len(answer.body) // 2)])
        time.sleep(rule.get("hold", 0))
        raise Hangup

    def do_fault_slow(self, rule, url, body):
        answer, rate = self.run(url, body), rule.get("rate", 1000)
        step = max(rate // 10, 1)
        self.send_head(answer)
        for at in range(0, len(answer.body), step):
            self.wfile.write(answer.body[at : at + step])
            time.sleep(step / rate)

    def do_fault_silent(self, rule, url, body):
        time.sleep(rule.get("seconds", 60))
        raise Hangup

    def do_fault_close(self, rule, url, body):
        raise Hangup

    def do_fault_garbage(self, rule, url, body):
        self.wfile.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
        raise Hangup

    def do_fault_redirect(self, rule, url, body):
        self.send(Answer(rule.get("status", 307), {"Location": rule.get("location", "http://127.0.0.1:1/")}))

    def do_fault_html(self, rule, url, body):
        page = b"<!DOCTYPE html><html><body><h1>Not what you wanted</h1></body></html>"
        self.send(Answer(rule.get("status", 404), {"Content-Type": "text/html"}, page))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that does not like our certificate is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description="an S3 that misbehaves on request")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bucket", action="append", default=[])
    parser.add_argument("--access-key")
    parser.add_argument("--plan")
    parser.add_argument("--cert")
    args = parser.parse_args()

    store, plan = Store(args.access_key), []
    for name in args.bucket:
        store.make_bucket(name)
    if args.plan:
        with open(args.plan, encoding="utf-8") as file:
            plan = json.load(file)
    server = Server(("127.0.0.1", args.port), Handler)
    server.stub = Stub(store, plan)
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("PORT %d" % server.server_address[1], flush=True)
    # Whoever started us holds the other end: no stub outlives its test.
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()

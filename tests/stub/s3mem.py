# SPDX-License-Identifier: Apache-2.0
"""A tiny S3 in memory: what s3stub.py answers with when no fault is planned.

It knows what cogfs asks for and no more. Keys are stored as they come ("a" beside
"a/b", "a//b"), conditions hold, a body whose signed SHA-256 is wrong is refused.
Signatures are not verified: a real server does that in the conformance tests.
"""

import base64
import hashlib
import re
import threading
import time
import uuid
from email.utils import formatdate
from urllib.parse import quote_plus, unquote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class S3Error(Exception):
    """An answer that is no success: status, <Code>, and headers beside it."""

    def __init__(self, status, code, message="", headers=None):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message
        self.headers = headers or {}


class Request:
    """What the handler read off the wire."""

    def __init__(self, method, bucket, key, query, headers, body):
        self.method, self.bucket, self.key = method, bucket, key
        self.query, self.headers, self.body = query, headers, body

    def header(self, name):
        return self.headers.get(name.lower())


class Answer:
    def __init__(self, status=200, headers=None, body=b""):
        self.status, self.headers, self.body = status, headers or {}, body


class Object:
    def __init__(self, body, headers, etag=None):
        self.body = body
        self.meta = {k: v for k, v in headers.items() if k.startswith("x-amz-meta-") or k == "content-encoding"}
        self.etag = etag or '"%s"' % hashlib.md5(body).hexdigest()
        self.modified = time.time()

    def headers(self):
        return {
            "ETag": self.etag,
            "Last-Modified": formatdate(self.modified, usegmt=True),
            "Accept-Ranges": "bytes",
            **self.meta,
        }


class Upload:
    def __init__(self, key, headers):
        self.id, self.key, self.headers = uuid.uuid4().hex, key, headers
        self.parts, self.initiated = {}, time.time()


def iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def xml(text, status=200):
    body = '<?xml version="1.0" encoding="UTF-8"?>\n' + text
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


def error_xml(code, message=""):
    return "<Error><Code>%s</Code><Message>%s</Message></Error>" % (escape(code), escape(message))


class Store:
    """Buckets of objects. Each request runs under one lock: a test's store is no benchmark."""

    def __init__(self, access_key=None):
        self.lock = threading.Lock()
        self.buckets, self.uploads = {}, {}
        self.access_key = access_key

    def make_bucket(self, name):
        self.buckets.setdefault(name, {})

    def serve(self, request):
        with self.lock:
            self._check_access(request)
            return self._route(request)

    # --- what goes before every operation ---

    def _check_access(self, r):
        auth = r.header("authorization") or ""
        match = re.search(r"Credential=([^/]+)/", auth)
        if self.access_key and (not match or match.group(1) != self.access_key):
            raise S3Error(403, "InvalidAccessKeyId", "The key does not exist in our records.")
        signed = r.header("x-amz-content-sha256")
        if signed and signed != hashlib.sha256(r.body).hexdigest():
            raise S3Error(400, "XAmzContentSHA256Mismatch", "The body is not what was signed.")

    def _route(self, r):
        if r.method == "PUT" and not r.key:
            self.make_bucket(r.bucket)
            return Answer()
        if r.bucket not in self.buckets:
            raise S3Error(404, "NoSuchBucket", "The bucket does not exist.")
        objects = self.buckets[r.bucket]
        if not r.key:
            return self._bucket(r, objects)
        if "uploadId" in r.query or "uploads" in r.query:
            return self._multipart(r, objects)
        name = {"GET": self._get, "HEAD": self._get, "PUT": self._put, "DELETE": self._delete}
        if r.method not in name:
            raise S3Error(405, "MethodNotAllowed")
        return name[r.method](r, objects)

    def _bucket(self, r, objects):
        if r.method == "HEAD":
            return Answer()
        if r.method == "POST" and "delete" in r.query:
            return self._delete_many(r, objects)
        if r.method == "GET" and "uploads" in r.query:
            return self._list_uploads(r)
        if r.method == "GET":
            return self._list(r, objects)
        raise S3Error(501, "NotImplemented")

    # --- objects ---

    @staticmethod
    def _find(objects, key):
        if key not in objects:
            raise S3Error(404, "NoSuchKey", "The key does not exist.")
        return objects[key]

    @staticmethod
    def _check_condition(r, present):
        want, unless = r.header("if-match"), r.header("if-none-match")
        if want and (not present or present.etag != want):
            raise S3Error(412 if present else 404, "PreconditionFailed" if present else "NoSuchKey")
        if unless == "*" and present:
            raise S3Error(412, "PreconditionFailed")

    def _get(self, r, objects):
        obj = self._find(objects, r.key)
        self._check_condition(r, obj)
        body, headers, size = obj.body, obj.headers(), len(obj.body)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", r.header("range") or "")
        if not match:
            return Answer(200, headers, body)
        first = int(match.group(1))
        last = min(int(match.group(2) or size), size - 1)
        if first >= size:
            raise S3Error(416, "InvalidRange", headers={"Content-Range": "bytes */%d" % size})
        headers["Content-Range"] = "bytes %d-%d/%d" % (first, last, size)
        return Answer(206, headers, body[first : last + 1])

    def _put(self, r, objects):
        if r.header("x-amz-copy-source"):
            return self._copy(r, objects)
        self._check_condition(r, objects.get(r.key))
        objects[r.key] = Object(r.body, r.headers)
        return Answer(200, {"ETag": objects[r.key].etag})

    def _copy_source(self, r):
        bucket, key = unquote(r.header("x-amz-copy-source")).lstrip("/").split("/", 1)
        source = self._find(self.buckets.get(bucket, {}), key)
        want = r.header("x-amz-copy-source-if-match")
        if want and source.etag != want:
            raise S3Error(412, "PreconditionFailed")
        return source

    def _copy(self, r, objects):
        source = self._copy_source(r)
        replace = r.header("x-amz-metadata-directive") == "REPLACE"
        copy = Object(source.body, r.headers if replace else source.meta, source.etag)
        objects[r.key] = copy
        return xml("<CopyObjectResult><ETag>%s</ETag></CopyObjectResult>" % escape(copy.etag))

    def _delete(self, r, objects):
        if r.key in objects:
            self._check_condition(r, objects[r.key])
            del objects[r.key]
        return Answer(204)

    def _delete_many(self, r, objects):
        digest = base64.b64encode(hashlib.md5(r.body).digest()).decode()
        if r.header("content-md5") != digest:
            raise S3Error(400, "BadDigest")
        text = ""
        for key in ElementTree.fromstring(r.body).findall(".//{*}Key"):
            objects.pop(key.text, None)
            text += "<Deleted><Key>%s</Key></Deleted>" % escape(key.text)
        return xml("<DeleteResult>%s</DeleteResult>" % text)

    # --- listings ---

    def _list(self, r, objects):
        prefix, delimiter = r.query.get("prefix", ""), r.query.get("delimiter", "")
        limit = min(int(r.query.get("max-keys") or 1000), 1000)
        after = r.query.get("continuation-token", "")
        names = []
        for key in sorted(objects, key=lambda k: k.encode("utf-8", "surrogateescape")):
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            name = prefix + rest.split(delimiter)[0] + delimiter if delimiter and delimiter in rest else key
            if name > after and (not names or names[-1] != name):
                names.append(name)
        more = len(names) > limit
        text = "".join(self._listed(name, objects, prefix, delimiter, r) for name in names[:limit])
        if r.query.get("encoding-type") == "url":
            text += "<EncodingType>url</EncodingType>"
        if more:
            text += "<NextContinuationToken>%s</NextContinuationToken>" % escape(names[limit - 1])
        return xml(
            "<ListBucketResult><IsTruncated>%s</IsTruncated>%s</ListBucketResult>"
            % ("true" if more else "false", text)
        )

    @staticmethod
    def _listed(name, objects, prefix, delimiter, r):
        shown = quote_plus(name, safe="/") if r.query.get("encoding-type") == "url" else escape(name)
        if delimiter and name.endswith(delimiter) and name != prefix:
            return "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % shown
        obj = objects[name]
        return "<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>%s</ETag><Size>%d</Size></Contents>" % (
            shown,
            iso(obj.modified),
            escape(obj.etag),
            len(obj.body),
        )

    # --- multipart ---

    def _multipart(self, r, objects):
        if r.method == "POST" and "uploads" in r.query:
            upload = Upload(r.key, r.headers)
            self.uploads[upload.id] = upload
            return xml(
                "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>" % upload.id
            )
        upload = self.uploads.get(r.query["uploadId"])
        if not upload:
            raise S3Error(404, "NoSuchUpload")
        if r.method == "DELETE":
            del self.uploads[upload.id]
            return Answer(204)
        if r.method == "PUT":
            return self._part(r, upload)
        return self._complete(r, objects, upload)

    def _part(self, r, upload):
        body, copied = r.body, r.header("x-amz-copy-source")
        if copied:
            first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", r.header("x-amz-copy-source-range")).groups()
            body = self._copy_source(r).body[int(first) : int(last) + 1]
        part = Object(body, {})
        upload.parts[int(r.query["partNumber"])] = part
        if copied:
            return xml("<CopyPartResult><ETag>%s</ETag></CopyPartResult>" % escape(part.etag))
        return Answer(200, {"ETag": part.etag})

    def _complete(self, r, objects, upload):
        self._check_condition(r, objects.get(r.key))
        parts = []
        for wanted in ElementTree.fromstring(r.body).findall(".//{*}Part"):
            part = upload.parts.get(int(wanted.findtext("{*}PartNumber")))
            if not part or part.etag != wanted.findtext("{*}ETag"):
                raise S3Error(400, "InvalidPart")
            parts.append(part)
        digest = hashlib.md5(b"".join(bytes.fromhex(p.etag.strip('"')) for p in parts)).hexdigest()
        etag = '"%s-%d"' % (digest, len(parts))
        objects[r.key] = Object(b"".join(p.body for p in parts), upload.headers, etag)
        del self.uploads[upload.id]
        return xml(
            "<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>" % escape(etag)
        )

    def _list_uploads(self, r):
        prefix = r.query.get("prefix", "")
        text = "".join(
            "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>"
            % (escape(u.key), u.id, iso(u.initiated))
            for u in self.uploads.values()
            if u.key.startswith(prefix)
        )
        return xml(
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>%s</ListMultipartUploadsResult>" % text
        )

# SPDX-License-Identifier: Apache-2.0
"""
The file backends that the seed documents describe, as programs that know nothing of cogfs. Each takes a
directory as its base path.
"""

import asyncio
import json
import os
import pickle
import time
from pathlib import Path


class LocalFSBackend:
    """The warm tier of the production strategy: plain files below tenant_id, touched on each read."""

    def __init__(self, base_path):
        self.base_path = Path(base_path)
        self.base_path.mkdir(parents=True, exist_ok=True)

    def _path(self, key, tenant_id):
        return self.base_path / tenant_id / key

    async def exists(self, key, tenant_id):
        return self._path(key, tenant_id).exists()

    async def get(self, key, tenant_id):
        path = self._path(key, tenant_id)
        if not path.exists():
            return None
        path.touch()
        return path.read_bytes()

    async def put(self, key, data, tenant_id, metadata=None, ttl=None):
        path = self._path(key, tenant_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return True

    async def delete(self, key, tenant_id):
        path = self._path(key, tenant_id)
        if not path.exists():
            return False
        path.unlink()
        return True

    async def list_keys(self, prefix, tenant_id):
        root = self.base_path / tenant_id
        keys = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        return sorted(key for key in keys if key.startswith(prefix))

    async def get_stats(self, tenant_id):
        files = [path for path in (self.base_path / tenant_id).rglob("*") if path.is_file()]
        return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


class FilesystemCacheBackend:
    """The plugin strategy's: pickles, a time to live from the file's time, touched on each read."""

    def __init__(self, base_path, ttl=3600):
        self.base_path, self.ttl = Path(base_path), ttl
        self.base_path.mkdir(parents=True, exist_ok=True)

    def _path(self, key):
        return self.base_path / (key.replace(":", "/") + ".pkl")

    def _is_expired(self, path):
        return time.time() - path.stat().st_mtime > self.ttl

    async def get(self, key):
        path = self._path(key)
        if not path.exists():
            return None
        if self._is_expired(path):
            await self.delete(key)
            return None
        path.touch()
        with open(path, "rb") as file:
            return pickle.load(file)

    async def set(self, key, value, ttl=None):
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".tmp{os.getpid()}")
        with open(temporary, "wb") as file:
            pickle.dump(value, file)
        os.replace(temporary, path)
        return True

    async def delete(self, key):
        self._path(key).unlink(missing_ok=True)
        return True

    async def exists(self, key):
        return self._path(key).exists()

    async def clear(self, pattern="*"):
        paths = list(self.base_path.rglob(pattern + ".pkl"))
        for path in paths:
            path.unlink()
        return len(paths)


class StructuredFilesystemBackend:
    """The pipeline cache's: a readable tree by artifact, and a .meta file beside each file."""

    def __init__(self, base_path, cleanup_on_startup=True):
        self.base_path = Path(base_path)
        self.base_path.mkdir(parents=True, exist_ok=True)
        self.stats = {"hits": 0, "misses": 0, "evictions": 0}
        if cleanup_on_startup:
            self.cleanup_expired()

    def key_to_path(self, key):
        profile, _, video, artifact, *rest = key.split(":")
        root = self.base_path / profile
        if artifact == "keyframes":
            name = f"{rest[0]}.jpg" if rest else "metadata.pkl"
            return root / "keyframes" / video / name
        if artifact == "segment_frames":
            values = dict(part.split("=") for part in rest if "=" in part)
            folder = "segment_{segment_id}_start_{start_time}_end_{end_time}".format(**values)
            name = rest[-1] + ".jpg" if "=" not in rest[-1] else "metadata.pkl"
            return root / "segments" / video / folder / name
        return root / f"{artifact}s" / f"{video}.pkl"

    @staticmethod
    def _meta(path):
        return path.with_name(path.name + ".meta")

    async def get(self, key):
        path = self.key_to_path(key)
        if not path.exists():
            self.stats["misses"] += 1
            return None
        meta = json.loads(self._meta(path).read_text())
        if meta["expires_at"] is not None and time.time() > meta["expires_at"]:
            await self.delete(key)
            self.stats["misses"] += 1
            return None
        self.stats["hits"] += 1
        data = path.read_bytes()
        return data if meta["format"] == "binary" else pickle.loads(data)

    async def set(self, key, value, ttl=None):
        path = self.key_to_path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        binary = isinstance(value, bytes)
        data = value if binary else pickle.dumps(value)
        path.write_bytes(data)
        now = time.time()
        meta = {
            "key": key, "created_at": now, "expires_at": now + ttl if ttl else None, "ttl": ttl,
            "size_bytes": len(data), "format": "binary" if binary else "pickle",
        }  # fmt: skip
        self._meta(path).write_text(json.dumps(meta))
        return True

    async def delete(self, key):
        path = self.key_to_path(key)
        path.unlink(missing_ok=True)
        self._meta(path).unlink(missing_ok=True)

    def cleanup_expired(self):
        for meta in list(self.base_path.rglob("*.meta")):
            expires = json.loads(meta.read_text())["expires_at"]
            if expires is not None and time.time() > expires:
                meta.with_name(meta.name[: -len(".meta")]).unlink(missing_ok=True)
                meta.unlink()
                self.stats["evictions"] += 1


class CacheManager:
    """get_or_compute over a backend that knows tenants."""

    def __init__(self, backend, tenant_id):
        self.backend, self.tenant_id, self.computed = backend, tenant_id, 0

    async def get_or_compute(self, key, compute):
        data = await self.backend.get(key, self.tenant_id)
        if data is None:
            data = compute()
            self.computed += 1
            await self.backend.put(key, data, self.tenant_id)
        return data


class VideoProcessor:
    """A video whose metadata.json exists is done and skipped; it is written last."""

    def __init__(self, root, profile="default"):
        self.root, self.profile, self.processed = Path(root), profile, []

    def process(self, video_id, frames):
        base = self.root / f"profile_{self.profile}/videos/{video_id}"
        if (base / "metadata.json").exists():
            return False
        (base / "keyframes").mkdir(parents=True, exist_ok=True)
        for timestamp, frame in frames.items():
            (base / f"keyframes/frame_{timestamp}.jpg").write_bytes(frame)
        (base / "metadata.json").write_text(json.dumps({"frames": sorted(frames)}))
        self.processed.append(video_id)
        return True


def run(coroutine):
    return asyncio.run(coroutine)

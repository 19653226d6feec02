#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The artifacts of a small video pipeline, with nothing but the standard library.

  artifacts.py write DIR [VIDEO...]   make them below DIR/profile_demo/videos
  artifacts.py read DIR [ROUNDS]      read all of them again and again, and say how long it takes

Frames are cut from a video by ffmpeg where it is there; otherwise they are drawn and encoded here.
Each file is written under a temporary name and renamed, and metadata.json, the mark of a finished
video, comes last: what a pipeline on a shared cache should do.
"""

import array
import io
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

FRAMES = 8
WIDTH, HEIGHT = 640, 360


# --- files ---


def save(path, data, **xattrs):
    """Writes data so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)
    for name, value in xattrs.items():
        os.setxattr(path, f"user.{name}", value.encode())


# --- frames ---


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


class Bits:
    """JPEG's entropy-coded bits: an 0xff gets a zero behind it, the end is filled with ones."""

    def __init__(self):
        self.out, self.held, self.count = bytearray(), 0, 0

    def put(self, value, length):
        self.held = self.held << length | value
        self.count += length
        while self.count >= 8:
            self.count -= 8
            byte = self.held >> self.count & 0xFF
            self.out += b"\xff\x00" if byte == 0xFF else bytes([byte])
        self.held &= (1 << self.count) - 1

    def finish(self):
        if self.count:
            self.put((1 << (8 - self.count)) - 1, 8 - self.count)
        return bytes(self.out)


def encode_jpeg(blocks, columns, rows):
    """A grey baseline JPEG of 8x8 blocks, each of one brightness (0..255): only DC is coded."""
    # Nine sizes of a difference, all with four bits; the end of a block is one bit.
    dc_table = b"\x00" + bytes([0, 0, 0, 9] + [0] * 12) + bytes(range(9))
    ac_table = b"\x10" + bytes([1] + [0] * 15) + b"\x00"
    bits, last = Bits(), 0
    for value in blocks:
        step = value - 128 - last
        last += step
        size = abs(step).bit_length()
        bits.put(size, 4)
        if size:
            bits.put(step if step > 0 else step + (1 << size) - 1, size)
        bits.put(0, 1)
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
            segment(0xDB, b"\x00" + bytes([8] * 64)),
            segment(0xC0, struct.pack(">BHHBBBB", 8, rows * 8, columns * 8, 1, 1, 0x11, 0)),
            segment(0xC4, dc_table),
            segment(0xC4, ac_table),
            segment(0xDA, b"\x01\x01\x00\x00\x3f\x00"),
            bits.finish(),
            b"\xff\xd9",
        ]
    )


def draw_frame(number):
    """A disc that crosses a gradient."""
    columns, rows = WIDTH // 8, HEIGHT // 8
    x = columns * (number + 1) // (FRAMES + 1)
    blocks = [
        250 if (c - x) ** 2 + (r - rows // 2) ** 2 < 64 else 40 + 120 * (c + r) // (columns + rows)
        for r in range(rows)
        for c in range(columns)
    ]
    return encode_jpeg(blocks, columns, rows)


def run_ffmpeg(*arguments):
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def cut_frames(folder):
    """Makes a video and cuts a frame a second out of it."""
    video = Path(folder) / "video.mp4"
    source = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=10:duration={FRAMES}"
    run_ffmpeg("-f", "lavfi", "-i", source, str(video))
    run_ffmpeg("-i", str(video), "-vf", "fps=1", "-q:v", "3", str(Path(folder) / "%d.jpg"))
    return [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]


def make_frames():
    """(how, the frames)"""
    if shutil.which("ffmpeg"):
        with tempfile.TemporaryDirectory() as folder:
            try:
                return "cut from a video by ffmpeg", cut_frames(folder)
            except subprocess.CalledProcessError:
                pass
    return "drawn by Python", [draw_frame(number) for number in range(FRAMES)]


# --- the rest of a video ---


def make_npz(seed, rows=1024, columns=128):
    """An .npz with one float32 array: what numpy.savez writes, without numpy."""
    source = random.Random(seed)
    values = array.array("f", (source.uniform(-1, 1) for _ in range(rows * columns)))
    if sys.byteorder == "big":
        values.byteswap()
    header = str({"descr": "<f4", "fortran_order": False, "shape": (rows, columns)})
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + values.tobytes()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("embeddings.npy", npy)
    return out.getvalue()


def make_transcript(video):
    words = "the probe leaves the orbit of the planet and sends its last pictures home".split()
    segments = [
        {"start": i * 2.0, "end": i * 2.0 + 2, "text": " ".join(words[i % 7 : i % 7 + 6])}
        for i in range(60)
    ]
    return json.dumps({"video_id": video, "language": "en", "segments": segments}, indent=1).encode()


def write_video(root, video, frames):
    folder = root / "profile_demo/videos" / video
    for number, frame in enumerate(frames):
        save(folder / f"keyframes/frame_{number}.jpg", frame)
    save(folder / "audio/transcription.json", make_transcript(video))
    save(folder / "embeddings/colpali.npz", make_npz(video), model="colpali-v1.2")
    summary = {"video_id": video, "frames": len(frames), "created_at": time.time()}
    save(folder / "metadata.json", json.dumps(summary).encode())
    return folder


def write(root, *videos):
    how, frames = make_frames()
    for video in videos or ("v1",):
        folder = write_video(Path(root), video, frames)
        count = sum(1 for path in folder.rglob("*") if path.is_file())
        print(f"{folder}: {count} files, frames {how}")


def read_once(paths):
    total = 0
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        while data := os.read(fd, 1 << 20):
            total += len(data)
        os.close(fd)
    return total


def read(root, rounds="50"):
    paths = [str(path) for path in (Path(root) / "profile_demo").rglob("*") if path.is_file()]
    times = []
    for _ in range(int(rounds)):
        begin = time.perf_counter()
        total = read_once(paths)
        times.append(time.perf_counter() - begin)
    median = statistics.median(times)
    print(
        f"{len(paths)} files, {total / 1e6:.1f} MB: first round {times[0] * 1e3:.1f} ms, then "
        f"{median * 1e3:.2f} ms ({median / len(paths) * 1e6:.0f} us a file, {total / median / 1e9:.1f} GB/s)"
    )


def main():
    verbs = {"write": write, "read": read}
    if len(sys.argv) < 3 or sys.argv[1] not in verbs:
        sys.exit(__doc__.strip())
    verbs[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()

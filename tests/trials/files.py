"""Media files that are malformed or made to attack: refused in one line, or read."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from PIL import Image

import texsyn
from texsyn import TexsynError
from texsyn.core.errors import Exit
from trials.children import PATIENCE, Outcome, mutated, run_forked, wait_for


def seeds(folder: Path) -> list[Path]:
    """Small valid files of every format that texsyn reads."""
    folder.mkdir()
    y, x = np.mgrid[:64, :64]
    colour = np.stack([4 * x, 4 * y, 2 * (x + y)], -1).astype(np.uint8)
    picture = Image.fromarray(colour)
    images: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb.png": (picture, {}),
        "alpha.png": (Image.fromarray(np.dstack((colour, 4 * x.astype(np.uint8)))), {}),
        "palette.png": (picture.quantize(16), {}),
        "grey.png": (picture.convert("L"), {}),
        "deep.png": (Image.fromarray((x * 1000).astype(np.uint16)), {}),
        "plain.jpg": (picture, {}),
        "exif.jpg": (picture, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}),
        "progressive.jpg": (picture, {"progressive": True}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "lossy.webp": (picture, {}),
        "lossless.webp": (picture, {"lossless": True}),
        "plain.tif": (picture, {}),
        "lzw.tif": (picture, {"compression": "tiff_lzw"}),
        "deflate.tif": (picture, {"compression": "tiff_deflate"}),
        "float.tif": (Image.fromarray((x / 64).astype(np.float32)), {}),
    }
    for name, (image, options) in images.items():
        image.save(folder / name, **options)
    waves = torch.from_numpy(np.sin(np.stack((x, y, x + y)) / 5)).float()
    for name, channels in (("colour.exr", 3), ("grey.exr", 1)):
        texsyn.write(waves[:channels], folder / name)
    frames = [np.roll(colour, 3 * n, 1) for n in range(34)]
    palettes = [Image.fromarray(frame).quantize(32) for frame in frames]
    for ending in ("gif", "png", "webp"):
        palettes[0].save(folder / f"clip.{ending}", save_all=True, append_images=palettes[1:], duration=40)
    for name, codec in (
        ("h264.mp4", "libx264"),
        ("plain.mov", "mpeg4"),
        ("vp9.webm", "libvpx-vp9"),
        ("plain.avi", "mpeg4"),
    ):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())
    return sorted(folder.iterdir())


def bombs(folder: Path) -> list[Path]:
    """Small files that claim to be huge, empty files, and files cut short."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width: int, height: int, data: bytes = b"") -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")

    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + b"\0" * 6
    huge_frame = b",\0\0\0\0" + struct.pack("<HHB", 65535, 65535, 0) + b"\x02\x02D\x01\0"
    small = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    tiny = b",\0\0\0\0" + struct.pack("<HHB", 64, 64, 0) + b"\x02\x02D\x01\0"
    files = {
        "huge.png": png(12000, 12000, bytes(1000)),
        "wide.png": png(2**31 - 1, 1),
        "zero.png": png(0, 0),
        "text.png": png(64, 64)[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))) + png(64, 64)[33:],
        "45 bytes.gif": gif + huge_frame + b";",
        "100,000 frames.gif": small + tiny * 100_000 + b";",
        "empty.png": b"",
        "one byte.jpg": b"\xff",
        "only magic.mp4": b"\0\0\0\x18ftypmp42" + bytes(12),
    }
    for name, blob in files.items():
        (folder / name).write_bytes(blob)
    with av.open(str(folder / "10 hours.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            frame.pts = number * 25 * 900
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return [*(folder / name for name in files), folder / "10 hours.mp4"]


_SECONDS, _MEMORY = 20, 3_000_000_000  # that one file may take; bytes in addition to the process's own


def malformed(tries: int, folder: Path) -> Outcome:
    """Mutations of small files of every format, and bombs: read, or refused in one line; no crash and no hang."""
    chance, whole = random.Random(4), seeds(folder / "seeds")
    work = folder / "work"
    work.mkdir()
    given = bombs(work) if tries > 40 else bombs(work)[2:7]
    while len(given) < tries:
        source = chance.choice(whole)
        suffix = (
            source.suffix if chance.random() < 0.8 else chance.choice((".png", ".jpg", ".mp4", ".gif", ".webp", ""))
        )
        given.append(work / f"{len(given)}{suffix}")
        given[-1].write_bytes(mutated(source.read_bytes(), chance))
    good = refused = 0
    failures: list[str] = []
    slowest = 0.0
    left = list(given)
    while left:
        out = folder / "out"
        code = wait_for(run_forked(lambda left=left: _read_all(left), out), PATIENCE + _SECONDS * 3)
        lines = [line for line in out.read_text(errors="replace").splitlines() if line.startswith("=")]
        for line in lines:
            result, seconds, message = line[1:].split("\t", 2)
            good += result in ("read", "refused")
            refused += result == "refused"
            slowest = max(slowest, float(seconds))
            if result not in ("read", "refused"):
                failures.append(f"{left[0].name}: {message}")
        if len(lines) < len(left) and code:
            failures.append(f"{left[len(lines)].name}: the process ended with {code}")
        left = left[len(lines) + (code != 0) :]
    return Outcome(
        len(given), good, f"{refused} refused, slowest {slowest:.1f} s" + "".join(f"; {each}" for each in failures[:5])
    )


def _read_all(files: list[Path]) -> int:
    """Read at most 200 files, and print the result of each in one line."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY, now + _MEMORY))
    signal.signal(signal.SIGALRM, lambda *_: os._exit(99))
    for file in files[:200]:
        signal.alarm(_SECONDS)
        start, result, message = time.monotonic(), "read", ""
        try:
            texsyn.read(file)
        except TexsynError as error:
            message = str(error)
            result = "refused" if error.exit is Exit.BAD_INPUT and "\n" not in message else "unclear"
        except Exception as error:  # a bug  # noqa: BLE001
            result, message = "crashed", repr(error)
        print(f"={result}\t{time.monotonic() - start:.3f}\t{message[:200]}", flush=True)
    return 0


# ------------------------------------------------------------ attacks


def attacks(tries: int, folder: Path) -> Outcome:
    """Files that name other files or addresses: refused, with no socket opened and no other file read."""
    secret, work, tracer = folder / "secret.png", folder / "work", shutil.which("strace")
    Image.new("RGB", (64, 64), (200, 10, 10)).save(secret)
    work.mkdir()
    hits: list[bytes] = []
    good, failures = 0, []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_listen, args=(server, hits), daemon=True).start()
        names = _attack_names(work, secret, server.getsockname()[1])[: max(2, tries)]
        for number, name in enumerate(names):
            failure = _attack(name, folder / f"run-{number}", folder / "trace" if tracer else None)
            good += not failure
            failures += [failure] * bool(failure)
    watched = "watched by strace" if tracer else "strace is missing, so only a listener watched"
    details = f"{watched}; {len(hits)} hits" + "".join(f"; {each}" for each in failures)
    return Outcome(len(names), good if not hits else 0, details)


def _listen(server: socket.socket, hits: list[bytes]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        hits.append(connection.recv(100))
        connection.close()


def _attack_names(work: Path, secret: Path, port: int) -> list[str]:
    """Names of files, addresses and the like, with which a careless decoder would read `secret` or open a socket."""
    texts = {
        "playlist.mp4": f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "remote.mp4": f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        "list.mp4": f"ffconcat version 1.0\nfile '{secret}'\n",
        "plain.m3u8": f"#EXTM3U\n#EXTINF:1,\n{secret}\n",
        "session.mp4": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
        "drawing.png": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:{port}/x"/></svg>',
        "archive.png": "PK\x03\x04" + "\0" * 60,
        "percent-%d.png": "no image",
        "-i.png": "no image",
        "new\nline.png": "no image",
    }
    for name, text in texts.items():
        (work / name).write_text(text)
    (work / "link.png").symlink_to("/etc/passwd")
    return [
        *(str(work / name) for name in (*texts, "link.png")),
        f"subfile,,start,0,end,0,,:{secret}",
        f"concat:{secret}|{secret}",
        f"http://127.0.0.1:{port}/a.png",
        f"file://{secret}",
        str(work / ("x" * 4000)),
        str(work / "../../../../../../etc/passwd"),
    ]


def _attack(name: str, run: Path, trace: Path | None) -> str:
    """How `texsyn fit` failed to refuse an exemplar in one line; empty if it did so. trace: file that strace writes."""
    command = [sys.executable, "-m", "texsyn", "fit", "--prepare", "--out", str(run), "--", name]
    if trace:
        command = ["strace", "-f", "-o", str(trace), "-e", "trace=openat,open,socket,connect", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lines = done.stderr.strip().splitlines()
    clean = done.returncode == 3 and len(lines) == 1 and lines[0].startswith("texsyn: ") and not done.stdout
    if trace:
        calls = trace.read_text(errors="replace")
        clean &= "AF_INET" not in calls and "secret.png" not in calls.replace(f'"{name}"', "")
    return "" if clean else f"{name!r}: exit {done.returncode}, {lines[:2]}"

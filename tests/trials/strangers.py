"""Files, folders, runs and models that somebody made to do harm."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import texsyn
from texsyn import Run, TexsynError
from texsyn.core.errors import Exit
from texsyn.core.recipes import Recipe
from texsyn.runs import storage
from trials.children import PATIENCE, Found, ended, fit, forked, new_run


def seeds(folder: Path) -> list[Path]:
    """Small valid files of every format that is read."""
    import av

    folder.mkdir()
    y, x = np.mgrid[:64, :64]
    colour = np.stack([4 * x, 4 * y, 2 * (x + y)], -1).astype(np.uint8)
    picture = Image.fromarray(colour)
    made: dict[str, tuple[Image.Image, dict[str, Any]]] = {
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
    for name, (image, how) in made.items():
        image.save(folder / name, **how)
    frames = [np.roll(colour, 3 * n, 1) for n in range(34)]
    images = [Image.fromarray(frame).quantize(32) for frame in frames]
    images[0].save(folder / "clip.gif", save_all=True, append_images=images[1:], duration=40)
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


def _mutated(blob: bytes, chance: random.Random) -> bytes:
    out = bytearray(blob)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        if not out:
            break
        how, place = chance.randrange(6), chance.randrange(len(out))
        if chance.random() < 0.5:
            place = min(place, chance.randrange(64))  # headers decide most
        if how == 0:
            out[place] ^= 1 << chance.randrange(8)
        elif how == 1:
            del out[place:]
        elif how == 2:
            out[place : place + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0"))
        elif how == 3:
            del out[place : place + chance.randint(1, 64)]
        elif how == 4:
            out[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 32)))
        else:
            out[place:place] = out[place : place + chance.randint(1, 256)]
    return bytes(out)


def bombs(folder: Path) -> list[Path]:
    """Small files that claim to be huge, and other oddities."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width: int, height: int, data: bytes = b"") -> bytes:
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")

    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + b"\0" * 6
    frame = b",\0\0\0\0" + struct.pack("<HHB", 65535, 65535, 0) + b"\x02\x02D\x01\0"
    small = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    tiny = b",\0\0\0\0" + struct.pack("<HHB", 64, 64, 0) + b"\x02\x02D\x01\0"
    files = {
        "huge.png": png(12000, 12000, bytes(1000)),
        "wide.png": png(2**31 - 1, 1),
        "zero.png": png(0, 0),
        "text.png": png(64, 64)[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))) + png(64, 64)[33:],
        "45 bytes.gif": gif + frame + b";",
        "100,000 frames.gif": small + tiny * 100_000 + b";",
        "empty.png": b"",
        "one byte.jpg": b"\xff",
        "only magic.mp4": b"\0\0\0\x18ftypmp42" + bytes(12),
    }
    found = []
    for name, blob in files.items():
        (folder / name).write_bytes(blob)
        found.append(folder / name)
    import av

    with av.open(str(folder / "10 hours.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(40):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            picture.pts = number * 25 * 900
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return [*found, folder / "10 hours.mp4"]


_SECONDS, _MEMORY = 20, 3_000_000_000  # that one malformed file may take; bytes over what the process has


def malformed(tries: int, folder: Path) -> Found:
    """Mutations of small files of every format, and bombs: one line and exit 3, or read; never a crash or a hang."""
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
        given[-1].write_bytes(_mutated(source.read_bytes(), chance))
    good = refused = 0
    odd: list[str] = []
    slowest = 0.0
    left = list(given)
    while left:
        out = folder / "out"
        code = ended(forked(lambda left=left: _read_all(left), out), PATIENCE + _SECONDS * 3)
        lines = [line for line in out.read_text(errors="replace").splitlines() if line.startswith("=")]
        for line in lines:
            how, seconds, words = line[1:].split("\t", 2)
            good += how in ("read", "refused")
            refused += how == "refused"
            slowest = max(slowest, float(seconds))
            if how not in ("read", "refused"):
                odd.append(f"{left[0].name}: {words}")
        if len(lines) < len(left) and code:
            odd.append(f"{left[len(lines)].name}: the process ended with {code}")
        left = left[len(lines) + (code != 0) :]
    return Found(
        len(given), good, f"{refused} refused, slowest {slowest:.1f} s" + "".join(f"; {each}" for each in odd[:5])
    )


def _read_all(files: list[Path]) -> int:
    """Read at most 200 files and say of each what came of it."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY, now + _MEMORY))
    signal.signal(signal.SIGALRM, lambda *_: os._exit(99))
    for file in files[:200]:
        signal.alarm(_SECONDS)
        start, how, words = time.monotonic(), "read", ""
        try:
            texsyn.read(file)
        except TexsynError as error:
            words = str(error)
            how = "refused" if error.exit is Exit.BAD_INPUT and "\n" not in words else "odd"
        except Exception as error:  # what no user should ever meet  # noqa: BLE001
            how, words = "crashed", repr(error)
        print(f"={how}\t{time.monotonic() - start:.3f}\t{words[:200]}", flush=True)
    return 0


# ------------------------------------------------------------ attacks


def attacks(tries: int, folder: Path) -> Found:
    """Files that name other files or addresses: refused, with no socket opened and no other file read."""
    import socket
    import threading

    secret = folder / "secret.png"
    Image.new("RGB", (64, 64), (200, 10, 10)).save(secret)
    hits: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def listen() -> None:
            while True:
                try:
                    guest, _ = server.accept()
                except OSError:
                    return
                hits.append(guest.recv(100))
                guest.close()

        threading.Thread(target=listen, daemon=True).start()
        texts = {
            "playlist.mp4": f"#EXTM3U\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
            "remote.mp4": f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
            "list.mp4": f"ffconcat version 1.0\nfile '{secret}'\n",
            "plain.m3u8": f"#EXTM3U\n#EXTINF:1,\n{secret}\n",
            "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            f"m=video {port} RTP/AVP 96\n",
            "drawing.png": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:{port}/x"/></svg>',
            "archive.png": "PK\x03\x04" + "\0" * 60,
            "percent-%d.png": "no picture",
            "-i.png": "no picture",
            "new\nline.png": "no picture",
        }
        work = folder / "work"
        work.mkdir()
        for name, text in texts.items():
            (work / name).write_text(text)
        (work / "link.png").symlink_to("/etc/passwd")
        names = [str(work / name) for name in (*texts, "link.png")]
        names += [
            f"subfile,,start,0,end,0,,:{secret}",
            f"concat:{secret}|{secret}",
            f"http://127.0.0.1:{port}/a.png",
            f"file://{secret}",
            str(work / ("x" * 4000)),
            str(work / "../../../../../../etc/passwd"),
        ]
        names = names[: max(2, tries)]
        tracer = shutil.which("strace")
        good, odd = 0, []
        for number, name in enumerate(names):
            trace = folder / "trace"
            command = [
                sys.executable,
                "-m",
                "texsyn",
                "fit",
                "--prepare",
                "--out",
                str(folder / f"run-{number}"),
                "--",
                name,
            ]
            if tracer:
                command = [tracer, "-f", "-o", str(trace), "-e", "trace=openat,open,socket,connect", *command]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            lines = done.stderr.strip().splitlines()
            clean = done.returncode == 3 and len(lines) == 1 and lines[0].startswith("texsyn: ") and not done.stdout
            if tracer:
                seen = trace.read_text(errors="replace")
                clean &= "AF_INET" not in seen and "secret.png" not in seen.replace(f'"{name}"', "")
            good += clean
            if not clean:
                odd.append(f"{name!r}: exit {done.returncode}, {lines[:2]}")
    watched = "watched by strace" if tracer else "strace is not here: a listener alone watched"
    return Found(len(names), good if not hits else 0, f"{watched}; {len(hits)} hits" + "".join(f"; {e}" for e in odd))


EVIL: tuple[Any, ...] = (None, -1, 0, 10**12, 1e308, True, "x" * 1000, "../../etc/passwd", [], {}, [[]], [10**9] * 3)


def strangers(tries: int, folder: Path) -> Found:
    """A run or a model from a stranger, each value of its JSON forged: refused in one line, or of no harm."""
    run = new_run(folder / "run", Recipe(steps=2, batch_size=1, precision="float32"))
    assert ended(forked(fit(run.path))) == 0
    forged: list[tuple[Path, str]] = []
    for file in (run.path / "run.json", run.path / "model" / "content.json"):
        content = json.loads(file.read_text())
        for place in _places(content):
            forged += [(file, json.dumps(_with(content, place, evil))) for evil in EVIL]
    random.Random(5).shuffle(forged)
    forged = forged[:tries]
    good, odd, left = 0, [], list(forged)
    while left:
        out = folder / "out"
        code = ended(forked(lambda left=left: _open_all(run, left), out), PATIENCE * 3)
        lines = [line[1:] for line in out.read_text().splitlines() if line.startswith("=")]
        good += sum(line.startswith(("refused", "harmless")) for line in lines)
        odd += [line for line in lines if not line.startswith(("refused", "harmless"))]
        if code and len(lines) < len(left):
            odd.append(f"the process ended with {code}: {left[len(lines)][1][:200]}")
        left = left[len(lines) + (code != 0) :]
    return Found(len(forged), good, "; ".join(odd[:3]))


def _places(content: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of a JSON document is."""
    if here:
        yield here
    for key in content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ():
        yield from _places(content[key], (*here, key))


def _with(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(content))
    part = copy
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    return copy


def _open_all(run: Run, forged: list[tuple[Path, str]]) -> int:
    """Open at most 100 forged runs and say of each what came of it; what a model's manifest says is made to fit."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + 1_000_000_000, now + 1_000_000_000))
    signal.signal(signal.SIGALRM, lambda *_: os._exit(99))
    warnings.simplefilter("error")  # what can only warn has not been looked at
    for file, text in forged[:100]:
        signal.alarm(_SECONDS)
        before = {path: path.read_bytes() for path in (file, run.path / "model" / "manifest.json")}
        file.write_text(text)
        if file.name == "content.json":
            manifest = json.loads(before[run.path / "model" / "manifest.json"])
            manifest[file.name] = {"bytes": len(text.encode()), "sha256": storage._sha256(text.encode())}
            (run.path / "model" / "manifest.json").write_text(json.dumps(manifest))
        try:
            opened = Run.open(run.path)
            triangle = opened.triangle()
            opened.exemplars()
            opened.made_by()
            texsyn.sample(triangle)
            print("=harmless", flush=True)
        except TexsynError as error:
            print("=refused" if "\n" not in str(error) else f"=odd {error!r}", flush=True)
        except Exception as error:  # what no user should ever meet  # noqa: BLE001
            print(f"=crashed {error!r} {traceback.format_exc().splitlines()[-3].strip()}", flush=True)
        finally:
            for path, blob in before.items():
                path.write_bytes(blob)
    return 0


def tensors(tries: int, folder: Path) -> Found:
    """Forged tensor files, their manifests made to fit: pickles, headers that lie, random bytes."""
    import pickle

    stored = folder / "stored"
    wanted = {"a": torch.zeros(4, 4), "b": torch.zeros(3)}
    storage.store(stored, wanted, {})
    blob = (stored / "tensors.safetensors").read_bytes()
    chance, good = random.Random(6), 0
    special = [
        pickle.dumps({"a": 1}),
        b"\x80\x04" + blob,
        b"PK\x03\x04" + blob,
        (2**63 - 1).to_bytes(8, "little") + blob[8:],
        (10**9).to_bytes(8, "little") + blob[8:],
        blob.replace(b"[4,4]", b"[4,9]"),
        blob.replace(b"[4,4]", b"[99999999,99999999]"),
        blob.replace(b"[4,4]", b"[-4,4]"),
        blob.replace(b'"F32"', b'"F64"'),
        b"",
    ]
    for number in range(tries):
        forged = special[number] if number < len(special) else _mutated(blob, chance)
        (stored / "tensors.safetensors").write_bytes(forged)
        manifest = json.loads((stored / "manifest.json").read_text())
        manifest["tensors.safetensors"] = {"bytes": len(forged), "sha256": storage._sha256(forged)}
        (stored / "manifest.json").write_text(json.dumps(manifest))
        try:
            found = storage.read_tensors(stored, wanted)
            good += {n: t.shape for n, t in found.items()} == {n: t.shape for n, t in wanted.items()}
        except TexsynError as error:
            good += "\n" not in str(error)
        except Exception as error:  # what no user should ever meet  # noqa: BLE001
            print(f"tensors: {error!r}", file=sys.stderr)
    return Found(tries, good)

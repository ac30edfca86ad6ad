"""What is promised of a fit, a file and a run, tried many times over: python tests/trust.py [FIGURE...]

Writes tests/benchmarks/TRUST.md. Each figure is a function of how often to try and of a folder, and says what it
found; `test_trust.py` calls them with few tries, `make trust` with many. Models are tiny, children are forked.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import KINDS
from PIL import Image

import texsyn
from texsyn import Run, TexsynError, cli, load, media, storage, training
from texsyn.errors import Exit
from texsyn.recipes import Recipe

REPORT = Path(__file__).parent / "benchmarks" / "TRUST.md"
PATIENCE = 60.0  # seconds that a child may take
_RECIPE = Recipe(steps=60, batch=2, precision="float32", checkpoint_every=7)


@dataclass(frozen=True)
class Found:
    """What came of a figure's tries."""

    tries: int
    good: int
    said: str = ""  # more figures, in words

    @property
    def ok(self) -> bool:
        return self.tries > 0 and self.good == self.tries


# ------------------------------------------------------------ children


def forked(call: Callable[[], int], out: Path | None = None, **environment: str) -> int:
    """Call in a forked child, with its output in a file, and return its process identifier."""
    if out:
        out.write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads in the parent: none of them is at work
        pid = os.fork()
    if pid:
        return pid
    code = int(Exit.BUG)
    try:
        os.environ.update(environment)
        sink = os.open(out or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        torch.set_num_threads(1)
        code = call()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # a child must never return into its parent's code  # noqa: BLE001
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def ended(pid: int, patience: float = PATIENCE) -> int:
    """The exit code of a child, minus the signal that ended it; it is killed when it takes too long."""
    deadline = time.monotonic() + patience
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def fit(path: Path, *more: str) -> Callable[[], int]:
    return lambda: cli.main(["fit", "--resume", str(path), "--json", "--no-card", *more])


def new_run(path: Path, recipe: Recipe = _RECIPE) -> Run:
    pixels = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    facts = {"name": "noise", "sha256": "0" * 64, "width": 40, "height": 40}
    return Run.create(path, media.Exemplar(pixels, KINDS["still"], facts=facts), recipe, "fast")


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load(run.path).state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def steps_said(out: Path) -> int:
    """The last step that a child said it took."""
    found = 0
    for line in out.read_text(errors="replace").splitlines():
        try:
            found = max(found, int(json.loads(line).get("step", 0)))
        except ValueError:
            continue
    return found


def leftovers(folder: Path) -> list[Path]:
    return [p for p in folder.rglob(".*") if p.name.endswith((".part", ".old")) or p.name.startswith(storage.PART)]


# ------------------------------------------------------------ kills


POINTS = ("begun", "tensors.safetensors", "content.json", "manifest.json", "aside", "renamed", "written")


def kills(tries: int, folder: Path) -> Found:
    """A fit is killed at random moments, every third time inside the saving of a checkpoint or sheet, and resumed."""
    unbroken = new_run(folder / "unbroken")
    start = time.monotonic()
    assert ended(forked(fit(unbroken.path))) == 0
    whole, wanted = time.monotonic() - start, weights(unbroken)
    chance = random.Random(0)
    good, lost, killed = 0, 0, 0
    for number in range(tries):
        run, out = new_run(folder / "killed"), folder / "out"
        for _ in range(chance.randint(1, 3)):
            if number % 3 == 0:
                child = forked(fit(run.path), out, TEXSYN_KILL_AT=chance.choice(POINTS))
            else:
                child = forked(fit(run.path), out)
                time.sleep(chance.uniform(0, whole))
                os.kill(child, signal.SIGKILL)
            killed += ended(child) == -signal.SIGKILL
            stored = max((int(p.name) for p in run.checkpoints()), default=0)
            lost = max(lost, steps_said(out) - stored)
        finished = ended(forked(fit(run.path))) == 0
        good += finished and same(wanted, weights(run)) and not leftovers(run.path)
        shutil.rmtree(run.path)
    interval = _RECIPE.checkpoint_every
    within = "at most" if lost <= interval else "MORE THAN"
    return Found(
        tries,
        good if lost <= interval else 0,
        f"{killed} kills; work lost {lost} steps, {within} the {interval} between checkpoints",
    )


def signals(tries: int, folder: Path) -> Found:
    """SIGTERM and Ctrl-C: exit codes 143 and 130, a checkpoint that goes on to the same end."""
    unbroken = new_run(folder / "unbroken")
    assert ended(forked(fit(unbroken.path))) == 0
    wanted, chance, good, taken = weights(unbroken), random.Random(1), 0, []
    for number in range(tries):
        run, sent = new_run(folder / "stopped"), (signal.SIGTERM, signal.SIGINT)[number % 2]
        out = folder / "out"
        child = forked(fit(run.path, "--steps", "100000"), out)
        deadline = time.monotonic() + PATIENCE
        while steps_said(out) < chance.randint(1, 20) and time.monotonic() < deadline:
            time.sleep(0.005)
        start = time.monotonic()
        os.kill(child, sent)
        code = ended(child)
        taken.append(time.monotonic() - start)
        state = training.begin(run.fresh(), run.recipe, run.exemplars())
        right = code == 128 + sent and run.restore(state, lambda text: None)
        # The schedule of a longer fit is another one, so it is only the checkpoint that is compared: it is whole.
        good += right and state.step == int(run.checkpoints()[0].name) and bool(weights(run)) and bool(wanted)
        shutil.rmtree(run.path)
    late = float(np.percentile(taken, 95))
    return Found(tries, good if late < 2 else 0, f"95th percentile {late:.2f} s, slowest {max(taken):.2f} s")


# ------------------------------------------------------------ damage


def damage(tries: int, folder: Path) -> Found:
    """The newest checkpoint is damaged: the one before is taken, and it is said; what loads is never wrong."""
    run = new_run(folder / "run")
    assert ended(forked(fit(run.path))) == 0
    newest, before = run.checkpoints()
    chance, good = random.Random(2), 0
    state = training.begin(run.fresh(), run.recipe, run.exemplars())
    for _ in range(tries):
        kept = folder / "kept"
        shutil.copytree(newest, kept)
        _damage(newest, before, chance)
        said: list[str] = []
        found = run.restore(state, said.append)
        good += found and state.step == int(before.name) and len(said) == 1 and newest.name in said[0]
        shutil.rmtree(newest)
        kept.rename(newest)
    return Found(tries, good)


def _damage(folder: Path, other: Path, chance: random.Random) -> None:
    file = chance.choice(sorted(folder.iterdir()))
    blob = bytearray(file.read_bytes())
    how = chance.choice(("flip", "cut", "missing", "swapped", "zeroed", "longer", "edited"))
    place = chance.randrange(len(blob))
    if how == "flip":
        blob[place] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del blob[place:]
    elif how == "missing":
        file.unlink()
        return
    elif how == "swapped":
        file = folder / "tensors.safetensors"
        blob = bytearray((other / file.name).read_bytes())
    elif how == "zeroed":
        blob[place : place + 64] = b"\0" * len(blob[place : place + 64])
        blob[-1] ^= 1  # zeros may have been there
    elif how == "longer":
        blob += b"more"
    else:
        file = folder / "manifest.json"
        manifest = json.loads(file.read_text())
        entry = manifest[chance.choice(sorted(manifest))]
        name = chance.choice(sorted(entry))
        entry[name] = chance.choice((None, -1, 0, "0" * 64, [], {}, 10**30, 1.5, True))
        blob = bytearray(json.dumps(manifest).encode())
    file.write_bytes(blob)


# ------------------------------------------------------------ a full disk


class _Full:
    """An audit hook that lets a process write so often, and then says that the disk is full."""

    def __init__(self, allowed: int) -> None:
        self.left, self.full = allowed, False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        # A rename within a folder needs no space.
        writing = event == "os.mkdir" or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writing and str(arguments[0]) != os.devnull:
            self.left -= 1
            if self.left < 0:
                self.full = True
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk(tries: int, folder: Path) -> Found:
    """The disk is full from the k-th write of a command on: earlier checkpoints load, exit code 5, nothing left."""
    done = new_run(folder / "done")
    assert ended(forked(fit(done.path))) == 0
    made, said = folder / "made", []
    commands = {
        "fit": ["fit", "--resume", "RUN", "--steps", "75", "--json", "--no-card"],
        "sample": ["sample", "RUN", "-o", str(made / "a.png")],
        "frames": ["morph", "RUN", "--from", "0", "--to", "1", "--frames", "4", "--format", "frames", "-o", str(made)],
        "clip": ["morph", "RUN", "--from", "0", "--to", "1", "--frames", "4", "-o", str(made / "a.gif")],
        "export": ["export", "RUN", "-o", str(made / "a.onnx")],
    }
    good = count = 0
    for name, command in commands.items():
        for allowed in range(tries):
            shutil.rmtree(made, ignore_errors=True)
            run = Run.open(shutil.copytree(done.path, folder / "run", dirs_exist_ok=True))
            words = [str(run.path) if word == "RUN" else word for word in command]

            def call(words: list[str] = words, allowed: int = allowed) -> int:
                sys.addaudithook(_Full(allowed))
                return cli.main(words)

            code = ended(forked(call, folder / "out"))
            count += 1
            right = code in ((0, 5) if name == "fit" else (5,) if code else (0,)) and not leftovers(folder)
            right &= not (code and name != "fit" and any(made.glob("*.*")) and name != "frames")
            state = training.begin(run.fresh(), run.recipe, run.exemplars())
            right &= run.restore(state, lambda text: None) and bool(run.triangle())
            good += right
            if not right:
                said.append(f"{name} at write {allowed}: exit {code}, {leftovers(folder)}")
            shutil.rmtree(run.path)
            if code == 0 and (name != "fit" or "warning" not in (folder / "out").read_text()):
                break  # it never came to that many
    return Found(count, good, "; ".join(said))


def small_disk(tries: int, folder: Path) -> Found:
    """The same on a real file system of a few hundred kilobytes, where this user may mount one."""
    place = folder / "small"
    place.mkdir()
    good = count = 0
    for size in np.linspace(60, 700, tries).astype(int):
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", str(place)], capture_output=True, check=False
        )
        if mounted.returncode:
            return Found(1, 1, "not tried: this user may not mount a file system")
        try:
            try:
                run = new_run(place / "run")
            except TexsynError as error:
                count, good = count + 1, good + (error.exit is Exit.DISK and not leftovers(place))
                continue
            code = ended(forked(fit(run.path), folder / "out"))
            text = (folder / "out").read_text()
            state = training.begin(run.fresh(), run.recipe, run.exemplars())
            whole = not run.checkpoints() or run.restore(state, lambda text: None)
            count, good = (
                count + 1,
                good + (code in (0, 5) and whole and not leftovers(place) and "Traceback" not in text),
            )
        finally:
            subprocess.run(["umount", str(place)], check=True)
    return Found(count, good)


# ------------------------------------------------------------ steps that go wrong


def bad_steps(tries: int, folder: Path) -> Found:
    """Losses that are not finite, and memory that runs out, at random: finished, or exit 6 or 4 with a model kept."""
    chance, good, codes = random.Random(3), 0, {}
    for number in range(tries):
        run, share, seed = new_run(folder / "run"), chance.choice((0.02, 0.2, 0.6, 1.0)), chance.random()
        late = chance.randint(0, 40)

        def call(
            number: int = number, share: float = share, seed: float = seed, late: int = late, run: Run = run
        ) -> int:
            dice, true, calls = random.Random(seed), texsyn.Triangle.losses, [0]

            def losses(self: texsyn.Triangle, *given: Any, **more: Any) -> Any:
                found = true(self, *given, **more)
                calls[0] += 1
                if calls[0] > late and dice.random() < share:
                    if number % 2:
                        raise torch.OutOfMemoryError("no memory")
                    found.loss.register_hook(lambda gradient: gradient * float("nan"))
                return found

            texsyn.Triangle.losses = losses  # type: ignore[method-assign]
            return cli.main(["fit", "--resume", str(run.path), "--json", "--no-card"])

        code = ended(forked(call, folder / "out"))
        codes[code] = codes.get(code, 0) + 1
        kept = not run.checkpoints() or all(bool(w.isfinite().all()) for w in weights(run).values())
        good += code in (0, 4, 6) and kept and (bool(run.checkpoints()) or code in (4, 6))
        shutil.rmtree(run.path)
    return Found(tries, good, "exits " + ", ".join(f"{code}: {n}" for code, n in sorted(codes.items())))


# ------------------------------------------------------------ malformed media


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
    run = new_run(folder / "run", Recipe(steps=2, batch=1, precision="float32"))
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


# ------------------------------------------------------------ the app


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[Any]:
    """The real app in a folder of its own."""
    from server import Server

    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder / "temporary")  # where the tickets of its fits lie
    tempfile.tempdir = None
    server = Server(folder, *more)
    try:
        yield server
    finally:
        server.stop_fits()
        server.stop()
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
        tempfile.tempdir = None


def _ask(address: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """The status of an answer, and what it says."""
    request = urllib.request.Request(
        address + path, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status), answer.read(2_000_000)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(10_000)


def _outside(folder: Path) -> set[Path]:
    """Everything that is there but runs, the server's own temporary files and its log."""
    own = (folder / "runs", folder / "temporary", folder / "server.log")
    return {path for path in folder.rglob("*") if not any(path == each or each in path.parents for each in own)}


TRAVERSALS = (
    "/etc/passwd",
    "../../../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "....//....//....//etc/passwd",
    "..\\..\\..\\etc\\passwd",
    "/proc/self/environ",
    "file:///etc/passwd",
    "SECRET",
)


def web(tries: int, folder: Path) -> Found:
    """Forged hosts and origins, ways out of the folder through every endpoint, floods and slow uploads."""
    import socket

    secret = folder / "secret.png"  # a picture that could be learnt, were it reached
    Image.new("RGB", (64, 64), (200, 10, 10)).save(secret)
    good = count = 0
    odd: list[str] = []

    def judged(right: bool, words: str) -> None:
        nonlocal good, count
        count, good = count + 1, good + right
        if not right:
            odd.append(words)

    with serving(folder) as server:
        before = _outside(folder)
        json_type = {"Content_Type": "application/json"}
        for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]", "0.0.0.0", ""):
            code, _ = _ask(server.address, "/", Host=name)
            judged(code in (400, 403), f"Host {name!r}: {code}")
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https://localhost.evil.example"):
            for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/call/status", "/login"):
                code, _ = _ask(server.address, path, b"{}", Origin=origin, **json_type)
                judged(code == 403, f"Origin {origin} {path}: {code}")
        for way in TRAVERSALS:
            way = way.replace("SECRET", str(secret))
            for path in (
                "/gradio_api/file=",
                "/gradio_api/file/",
                "/gradio_api/file/https://127.0.0.1:1/",
                "/file=",
                "/static/",
                "/assets/",
                "/theme.css/../",
            ):
                code, said = _ask(server.address, urllib.parse.quote(path + way, safe="/%=:"))
                judged(code >= 400 and b"root:" not in said and b"PNG" not in said, f"{path}{way}: {code}")
            for name, data in (
                ("status", [way]),
                ("sample", [way, 0, 64, 64]),
                ("fit", [{"path": way, "meta": {"_type": "gradio.FileData"}}, 1]),
                ("fit", [{"path": way}, 1]),
                ("fit", [{"path": way, "url": "http://127.0.0.1:1/x", "meta": {"_type": "gradio.FileData"}}, 1]),
            ):
                place = f"/gradio_api/call/{name}"
                code, said = _ask(server.address, place, json.dumps({"data": data}).encode(), **json_type)
                if code == 200:
                    _, said = _ask(server.address, f"{place}/{json.loads(said)['event_id']}")
                judged(
                    (code >= 400 or b"event: error" in said) and b"root:" not in said, f"{name} {way}: {said[:90]!r}"
                )
        for path in ("/gradio_api/file=", "/gradio_api/file/", "/gradio_api/proxy=", "/file="):
            code, _ = _ask(server.address, f"{path}https://127.0.0.1:1/x")
            judged(code == 403, f"{path}https: {code}")
        slow = []
        for _ in range(20):
            guest = socket.create_connection(("127.0.0.1", server.port))
            head = "POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
            guest.sendall((head + "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n").encode())
            slow.append(guest)
        start = time.monotonic()
        code, _ = _ask(server.address, "/")
        judged(code == 200 and time.monotonic() - start < 5, f"beside 20 slow uploads: {code}")
        for guest in slow:
            guest.close()
        body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../../../e.png"\r\n\r\n'
        for _ in range(max(10, tries // 50)):
            data = body + os.urandom(1_000_000) + b"\r\n--x--\r\n"
            code, _ = _ask(server.address, "/gradio_api/upload", data, Content_Type="multipart/form-data; boundary=x")
            judged(code in (200, 413), f"upload: {code}")
        start = time.monotonic()
        code, _ = _ask(server.address, "/")
        judged(code == 200 and time.monotonic() - start < 5, f"after a flood of uploads: {code}")
        judged(_outside(folder) == before, f"written outside: {_outside(folder) - before}")
    locked = folder / "locked"
    locked.mkdir()
    with serving(locked, "--auth", "someone:secret") as server:
        places = ("/gradio_api/call/status", "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/call/fit")
        reads = ("/gradio_api/info", "/config", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/data?session_hash=a")
        start = time.monotonic()
        for number in range(tries):
            path = (*places, *reads)[number % 8]
            code, _ = _ask(server.address, path, b"{}" if path in places else None, **json_type)
            judged(code in (401, 403, 404, 422), f"without login {path}: {code}")
        rate = tries / (time.monotonic() - start)
        code, said = _ask(server.address, "/")
        judged(code in (200, 401) and b"runs" not in said.lower().split(b"</head>")[-1][:0], f"the login page: {code}")
    return Found(
        count, good, f"{tries} requests without login at {rate:.0f} a second" + "".join(f"; {e}" for e in odd[:5])
    )


def load_test(tries: int, folder: Path) -> Found:
    """Sixteen people look on at a fit for so many minutes (0: four, for 12 s), and samples are made: see load.py."""
    sys.path.insert(0, str(REPORT.parent))
    from load import measure

    with serving(folder) as server:
        found = measure(server, 16 if tries else 4, tries or 0.2)
    half = len(found.memory) // 2
    flat = tries < 4 or found.memory[-1] < 1.1 * found.memory[half] + 5
    kept = found.temporary[-1] <= 300  # what is shown is kept for a while, the newest 128
    right = not found.failed and (found.late < 250 or tries < 4) and flat and kept and found.state == "running"
    return Found(len(found.taken), len(found.taken) if right else 0, f"{tries} minutes: {found.words()}")


# ------------------------------------------------------------ the same bytes


def same_bytes(tries: int, folder: Path) -> Found:
    """The same seed, on the same machine: samples over 1 and 2 threads, and fits with as many threads."""
    run = new_run(folder / "run")
    assert ended(forked(fit(run.path))) == 0
    again = new_run(folder / "again")
    assert ended(forked(fit(again.path))) == 0
    good = int(same(weights(run), weights(again)))
    for number in range(tries - 1):
        pictures = []
        for threads in (1, 2):
            path = folder / f"{number}-{threads}.png"
            command = [sys.executable, "-m", "texsyn", "sample", str(run.path), "--seed", str(number), "-o", str(path)]
            subprocess.run(
                command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
            )
            pictures.append(path.read_bytes())
        good += pictures[0] == pictures[1]
    return Found(tries, good, "fits with another number of threads may differ in the last bits: not promised")


# ------------------------------------------------------------ all of them


@dataclass(frozen=True)
class Figure:
    call: Callable[[int, Path], Found]
    few: int  # tries in a test
    many: int  # tries in the report


FIGURES = {
    "kill -9 and resume: the unbroken run's weights, bit for bit": Figure(kills, 4, 200),
    "SIGTERM and Ctrl-C: 143 / 130, checkpoint, under 2 s": Figure(signals, 2, 50),
    "damaged checkpoints noticed, the one before used": Figure(damage, 40, 1000),
    "disk full from the k-th write on": Figure(full_disk, 5, 60),
    "a real disk of 60 to 700 kB": Figure(small_disk, 3, 40),
    "steps not finite, out of memory": Figure(bad_steps, 4, 60),
    "malformed media": Figure(malformed, 60, 5200),
    "attack media": Figure(attacks, 2, 99),
    "attack runs: forged JSON": Figure(strangers, 60, 3000),
    "attack runs: forged tensors": Figure(tensors, 60, 2000),
    "web: forged requests, ways out, floods, slow uploads, no login": Figure(web, 40, 10_000),
    "the app under load, 16 people: answers": Figure(load_test, 0, 30),
    "same seed, same bytes": Figure(same_bytes, 2, 10),
}


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", help="; ".join(figure.call.__name__ for figure in FIGURES.values()))
    parser.add_argument("--minutes", type=int, help="of the load, instead of 30")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, figure in FIGURES.items():
        if options.figures and figure.call.__name__ not in options.figures:
            continue
        with scratch() as folder:
            start = time.monotonic()
            minutes = options.minutes if figure.call is load_test else None
            found = figure.call(minutes or figure.many, folder)
        mark = "" if found.ok else "**no**: "
        row = f"| {name} | {mark}{found.good} of {found.tries} | {found.said} | {time.monotonic() - start:.0f} s |"
        print(row, flush=True)
        rows.append(row)
    if not options.figures:
        write(rows)


def write(rows: list[str]) -> None:
    head = io.StringIO()
    print("# Trust, by `make trust`\n", file=head)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {versions}\n", file=head)
    print("| figure | held | more | took |\n|---|---|---|---|", file=head)
    notes = REPORT.read_text().split("\n## ", 1)[1:] if REPORT.exists() else []
    REPORT.write_text(head.getvalue() + "\n".join(rows) + "\n" + "".join(f"\n## {note}" for note in notes))


if __name__ == "__main__":
    main()

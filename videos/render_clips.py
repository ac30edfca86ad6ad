"""Render the shipped clips from physics: python videos/render_clips.py [FOLDER] [NAME ...]

water   a pool from above: waves of a wind-sea spectrum with their real dispersion, refraction of the tiled floor,
        caustics from refracted sunlight, sky in the reflection
fire    hot gas in a two-dimensional fluid solver with buoyancy and vorticity confinement, black-body colours
meadow  blades of grass as damped springs in wind gusts that travel across
flag    a striped cloth of masses and springs in a gusty wind, drawn as shaded patches
"""

import sys
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

FPS = 25
FRAMES = 128
SIDE = 128  # pixels


def sample(field, y, x):
    """Bilinear look-up of `h w ...` on a torus at fractional positions."""
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx = y - y0, x - x0
    if field.ndim == 3:
        fy, fx = fy[..., None], fx[..., None]
    h, w = field.shape[:2]
    y0, x0, y1, x1 = y0 % h, x0 % w, (y0 + 1) % h, (x0 + 1) % w
    top = field[y0, x0] * (1 - fx) + field[y0, x1] * fx
    return top * (1 - fy) + (field[y1, x0] * (1 - fx) + field[y1, x1] * fx) * fy


def water():
    random = np.random.default_rng(3)
    size, metres, gravity, wind, depth = 256, 4.0, 9.81, 2.6, 1.0
    k1 = 2 * np.pi * np.fft.fftfreq(size, metres / size)
    ky, kx = np.meshgrid(k1, k1, indexing="ij")
    k = np.hypot(ky, kx)
    k[0, 0] = 1
    along = np.abs(kx * 0.8 + ky * 0.6) / k
    spectrum = np.exp(-((gravity / (k * wind**2)) ** 2)) / k**4 * (0.25 + along**2) * np.exp(-((k * 0.055) ** 2))
    spectrum[0, 0] = 0
    amplitude = np.sqrt(spectrum) * (random.standard_normal((size, size)) + 1j * random.standard_normal((size, size)))
    omega = np.sqrt(gravity * k * np.tanh(k * depth) + 7.4e-5 * k**3)  # gravity and surface tension
    pixel = metres / size
    grid_y, grid_x = np.mgrid[:size, :size].astype(float)
    tile = 32
    line = np.minimum.reduce([grid_y % tile, tile - grid_y % tile, grid_x % tile, tile - grid_x % tile])
    floor = np.where((line < 1.3)[..., None], [0.42, 0.7, 0.74], [0.24, 0.58, 0.65])
    floor = (
        floor
        * (1 + 0.05 * random.standard_normal((size // tile, size // tile)).repeat(tile, 0).repeat(tile, 1))[..., None]
    )
    sun = np.array([0.35, -0.45, 0.82])
    sun /= np.linalg.norm(sun)
    scale = None
    for frame in range(FRAMES):
        wave = amplitude * np.exp(1j * omega * frame / FPS)
        if scale is None:
            scale = 0.13 / np.fft.ifft2(wave * 1j * k).real.std()
        slope_y = np.fft.ifft2(wave * 1j * ky).real * scale
        slope_x = np.fft.ifft2(wave * 1j * kx).real * scale
        bend = depth * (1 - 1 / 1.33) / pixel  # pixels a ray moves on the floor per unit of slope
        light = np.zeros((size, size))
        for oy in (0, 0.5):  # light rays fall on a fine grid and are counted where they reach the floor
            for ox in (0, 0.5):
                sy, sx = sample(slope_y, grid_y + oy, grid_x + ox), sample(slope_x, grid_y + oy, grid_x + ox)
                hit_y, hit_x = grid_y + oy - bend * sy, grid_x + ox - bend * sx
                y0, x0 = np.floor(hit_y).astype(int), np.floor(hit_x).astype(int)
                fy, fx = hit_y - y0, hit_x - x0
                for dy, dx, weight in (
                    (0, 0, (1 - fy) * (1 - fx)),
                    (0, 1, (1 - fy) * fx),
                    (1, 0, fy * (1 - fx)),
                    (1, 1, fy * fx),
                ):
                    np.add.at(light, ((y0 + dy) % size, (x0 + dx) % size), weight / 4)
        light = (light + sum(np.roll(light, s, a) for s in (1, -1) for a in (0, 1))) / 5
        lit = floor * (0.25 + 0.75 * np.minimum(light, 2.6))[..., None]
        seen = sample(lit, grid_y - bend * slope_y, grid_x - bend * slope_x)
        normal = np.stack([-slope_x, -slope_y, np.ones_like(slope_x)], -1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        mirrored = 2 * normal[..., 2:] * normal - [0, 0, 1]
        fresnel = 0.02 + 0.98 * (1 - normal[..., 2:]) ** 5 + 0.06
        sky = np.array([0.55, 0.75, 0.95]) + 0.35 * mirrored[..., 1:2]
        glint = np.clip(mirrored @ sun, 0, 1)[..., None] ** 120
        yield np.clip(seen * (1 - fresnel) + sky * fresnel + 0.9 * glint, 0, 1)


def fire():
    random = np.random.default_rng(5)
    height, width, step = 176, 96, 1.0
    y, x = np.mgrid[:height, :width].astype(float)
    ky, kx = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    k2 = ky**2 + kx**2
    k2[0, 0] = 1
    v = np.zeros((height, width))
    u = np.zeros((height, width))
    heat = np.zeros((height, width))
    calm = np.clip((y - 6) / 20, 0, 1) * np.clip(
        (height - 1 - y) / 4, 0, 1
    )  # nothing leaves at the top to come back below
    phases = random.uniform(0, 2 * np.pi, (3, 14))
    speeds = random.normal(0, 0.06, (3, 14))
    for moment in range(2 * FRAMES + 160):
        flicker = sum(
            np.cos(2 * np.pi * n * x[0] / width + phases[a, n] + speeds[a, n] * moment * (1 + n)) / (1 + 0.15 * n)
            for a in range(3)
            for n in range(1, 14)
        )
        bed = np.exp(-(((y - (height - 14)) / 9) ** 2)) * np.clip(0.75 + 0.3 * flicker, 0, 1.6)[None]
        heat = np.maximum(heat, bed)
        v -= 0.1 * heat * step
        stir = random.standard_normal((2, height // 8, width // 8)).repeat(8, 1).repeat(8, 2)
        v, u = v + 0.07 * stir[0] * heat, u + 0.12 * stir[1] * heat
        curl = np.gradient(v, axis=1) - np.gradient(u, axis=0)
        gy, gx = np.gradient(np.abs(curl))
        norm = np.hypot(gy, gx) + 1e-5
        v += 0.5 * step * -(gx / norm) * curl
        u += 0.5 * step * (gy / norm) * curl
        fv, fu = np.fft.rfft2(v), np.fft.rfft2(u)
        divergence = (ky * fv + kx * fu) / k2
        damp = np.exp(-k2 * 6)
        v, u = (
            np.fft.irfft2((fv - ky * divergence) * damp, v.shape),
            np.fft.irfft2((fu - kx * divergence) * damp, u.shape),
        )
        back_y, back_x = y - step * v, x - step * u
        v, u = sample(v, back_y, back_x) * calm * 0.995, sample(u, back_y, back_x) * calm * 0.995
        heat = sample(heat, back_y, back_x) * calm
        heat = np.maximum(heat - 0.005 * step - 0.006 * heat**3, 0)
        if moment >= 160 and moment % 2 == 0:
            t = np.clip(heat[height - 16 - 96 : height - 16] * 1.05, 0, 1.2)[..., None]
            yield np.clip(t * [1.9, 1.9, 1.9] - [0.05, 0.55, 1.25], 0, 1) ** [0.8, 1.0, 1.2] * np.minimum(1, 6 * t)


def meadow():
    random = np.random.default_rng(8)
    count, fine = 2600, 384
    root_y = np.sort(random.uniform(-0.1, 1.32, count))
    root_x = random.uniform(-0.1, 1.1, count)
    length = random.uniform(0.16, 0.3, count)
    lean = random.normal(0, 0.25, count)
    stiff = random.uniform(50, 130, count)
    base = np.array([0.24, 0.42, 0.1]) * random.uniform(0.7, 1.3, (count, 1)) + random.normal(0, 0.03, (count, 3))
    dry = random.random(count) < 0.12
    base[dry] = [0.62, 0.55, 0.25]
    bend, speed = lean.copy(), np.zeros(count)
    waves = [
        (random.uniform(2, 9), random.normal(0, 2), random.uniform(0, 6.3), random.uniform(0.5, 1)) for _ in range(7)
    ]
    along = np.linspace(0, 1, 7)
    for moment in range(FRAMES + 40):
        for sub in range(4):
            t = (moment + sub / 4) / FPS
            gust = sum(a * np.sin(kx * (root_x - 0.55 * t) * 2 + ky * root_y + p) for kx, ky, p, a in waves) / 2.2
            force = 22 * (0.8 + np.maximum(gust, -0.6)) + random.normal(0, 2.5, count)
            speed += (force - stiff * (bend - lean) - 5.5 * speed) / FPS / 4
            bend += speed / FPS / 4
        if moment < 40:
            continue
        image = Image.new("RGB", (fine, fine), (22, 30, 10))
        draw = ImageDraw.Draw(image)
        for index in range(count):
            angle = bend[index] * along
            x = (root_x[index] + length[index] * np.cumsum(np.sin(angle)) / len(along)) * fine
            y = (root_y[index] - length[index] * np.cumsum(np.cos(angle)) / len(along)) * fine
            sheen = 0.75 + 0.35 * np.clip(np.sin(bend[index]), 0, 1)
            for part in range(len(along) - 1):
                shade = base[index] * (0.35 + 0.95 * along[part]) * sheen
                draw.line(
                    [(x[part], y[part]), (x[part + 1], y[part + 1])],
                    tuple(int(255 * c) for c in np.clip(shade, 0, 1)),
                    width=max(1, round(5.2 * (1 - 0.75 * along[part]))),
                )
        yield np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)) / 255


def flag():
    random = np.random.default_rng(2)
    rows, columns, fine = 22, 34, 384
    rest = 1 / 34
    y, x = np.mgrid[:rows, :columns].astype(float) * rest
    place = np.stack([x, y, 0.01 * random.standard_normal(x.shape)], -1)
    before = place.copy()
    pole = place[:, 0].copy()
    springs = [
        (slice(None), slice(None, -1), slice(None), slice(1, None), 1.0),
        (slice(None, -1), slice(None), slice(1, None), slice(None), 1.0),
        (slice(None, -1), slice(None, -1), slice(1, None), slice(1, None), 2**0.5),
        (slice(None, -1), slice(1, None), slice(1, None), slice(None, -1), 2**0.5),
        (slice(None), slice(None, -2), slice(None), slice(2, None), 2.0),
    ]
    lamp = np.array([-0.4, -0.5, 0.77])
    substeps = 12
    dt = 1 / FPS / substeps
    phase = random.uniform(0, 6.3, 6)
    for moment in range(FRAMES + 75):
        for sub in range(substeps):
            t = (moment + sub / substeps) / FPS
            dy, dx = np.gradient(place, axis=0), np.gradient(place, axis=1)
            normal = np.cross(dx, dy)
            normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
            gusts = np.sin(2.1 * t * np.pi + phase[0]) + 0.7 * np.sin(5.3 * t + phase[1] + 9 * place[..., 1])
            swirl = np.sin(14 * place[..., 0] - 13 * t + phase[2]) + 0.6 * np.sin(
                23 * place[..., 0] - 19 * t + 6 * place[..., 1]
            )
            wind = np.stack([6.5 + 1.5 * gusts, 0.8 * np.sin(3 * t + phase[3]) + 0 * gusts, 1.7 * swirl], -1)
            relative = wind - (place - before) / dt
            push = (relative * normal).sum(-1, keepdims=True) * normal * 3.2 + 0.25 * relative
            acceleration = push + np.array([0, 4.5, 0])
            place, before = place + (place - before) * 0.998 + acceleration * dt**2, place
            for _ in range(6):
                for a0, a1, b0, b1, factor in springs:
                    delta = place[b0, b1] - place[a0, a1]
                    far = np.linalg.norm(delta, axis=-1, keepdims=True)
                    move = 0.5 * delta * (1 - factor * rest / (far + 1e-9)) * 0.8
                    place[a0, a1] += move
                    place[b0, b1] -= move
                place[:, 0] = pole
        if moment < 75:
            continue
        image = Image.new("RGB", (fine, fine), (120, 168, 214))
        sky = np.linspace(0, 1, fine)[:, None, None] * np.array([60, 42, 22]) + np.array([110, 160, 212])
        image = Image.fromarray(np.broadcast_to(sky, (fine, fine, 3)).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        screen = place[..., :2] * [0.84, 0.84] * fine + place[..., 2:] * [0.16, -0.1] * fine + [0.12 * fine, 0.2 * fine]
        cells = [(place[r : r + 2, c : c + 2, 2].mean(), r, c) for r in range(rows - 1) for c in range(columns - 1)]
        for _, r, c in sorted(cells):
            across = np.cross(place[r, c + 1] - place[r, c], place[r + 1, c] - place[r, c])
            across /= np.linalg.norm(across) + 1e-9
            light = 0.45 + 0.6 * abs(across @ lamp) + 0.12 * (across @ [0.7, 0, 0])
            stripe = np.array([[0.78, 0.1, 0.12], [0.95, 0.95, 0.93], [0.1, 0.22, 0.55]][min(2, 3 * r // (rows - 1))])
            corners = [
                tuple(screen[r, c]),
                tuple(screen[r, c + 1]),
                tuple(screen[r + 1, c + 1]),
                tuple(screen[r + 1, c]),
            ]
            fill = tuple(int(255 * v) for v in np.clip(stripe * light, 0, 1))
            draw.polygon(corners, fill, outline=fill)
        draw.rectangle([0.1 * fine, 0.12 * fine, 0.125 * fine, fine], (92, 84, 78))
        draw.rectangle([0.1 * fine, 0.12 * fine, 0.108 * fine, fine], (150, 142, 134))
        yield np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)) / 255


def save(pictures, path):
    """H.264 at a high quality, BT.709."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "12", "preset": "slow"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            image = Image.fromarray(np.round(picture * 255).astype(np.uint8))
            image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS) if image.width != SIDE else image
            frame = av.VideoFrame.from_image(image).reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    print(path)


SCENES = {"water": water, "fire": fire, "meadow": meadow, "flag": flag}


def main(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or SCENES:
        save(SCENES[name](), folder / f"{name}.mp4")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent, sys.argv[2:])

// The picture in the middle: a sample, its exemplar, or both, zoomed, tiled and dragged; clips play in step.
//
// What it shows comes from the server as JSON in the attribute data-view of #view: {sample, exemplar, caption, mode, paint},
// addresses of images or clips. How it is shown is the reader's, and a browser remembers it; `mode` is how this picture is
// shown until the reader chooses; where `paint`, it can be painted on, and the server asks for the mask.
(() => {
  const LEAST = 0.05;
  const MOST = 32; // times the size of a pixel
  const STEP = 1.25; // of zooming
  const modes = ["sample", "exemplar", "split", "side", "blend"];
  const how = { mode: "split", times: 2, seams: false, light: false, share: 0.5, blend: 0.5, speed: 1, brush: 16, erase: false };
  try {
    Object.assign(how, JSON.parse(localStorage.getItem("texsyn-viewer") ?? "{}"));
  } catch {}
  let shown = {}; // of #view
  let media = {}; // by "sample" and "exemplar": images or videos that are loaded
  let zoom = 0; // 0 fits the picture in
  let at = [0, 0]; // pixels of the page by which it is moved
  let mask = null; // what is painted: a canvas of the picture's size, where it can be painted on
  let painted = false;
  let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let due = false;

  const root = () => document.querySelector("#viewer");
  const canvas = () => root()?.querySelector("canvas");
  const size = (each) => [each.videoWidth ?? each.naturalWidth ?? each.width, each.videoHeight ?? each.naturalHeight ?? each.height];
  const isClip = (each) => each instanceof HTMLVideoElement;
  const clips = () => Object.values(media).filter(isClip);
  const times = () => (mask ? 1 : how.times);
  const mode = () => (media.sample && media.exemplar ? (shown.mode ?? how.mode) : media.sample ? "sample" : "exemplar");

  const load = (address) =>
    new Promise((done) => {
      if (!address) return done(null);
      const clip = /\.mp4($|\?)/.test(address);
      const each = document.createElement(clip ? "video" : "img");
      each.addEventListener(clip ? "loadeddata" : "load", () => done(each), { once: true });
      each.addEventListener("error", () => done(null), { once: true });
      if (clip) Object.assign(each, { loop: true, muted: true, playsInline: true });
      each.src = address;
    });

  const show = async (view) => {
    shown = view;
    const [sample, exemplar] = await Promise.all([load(view.sample), load(view.exemplar)]);
    if (shown !== view) return; // another came meanwhile
    clips().forEach((clip) => clip.pause());
    const before = media.sample ?? media.exemplar;
    media = Object.fromEntries(Object.entries({ sample, exemplar }).filter(([, each]) => each));
    const now = media.sample ?? media.exemplar;
    if (!before || !now || String(size(before)) !== String(size(now))) fit();
    mask = view.paint && now ? document.createElement("canvas") : null;
    if (mask) [mask.width, mask.height] = size(now);
    painted = how.erase = false;
    play();
    draw();
  };

  const play = () =>
    clips().forEach((clip) => {
      clip.playbackRate = how.speed;
      if (paused) clip.pause();
      else clip.play().catch(() => {});
    });

  const fit = () => ([zoom, at] = [0, [0, 0]]);

  // The part of the canvas that each picture has, and how large one pixel of it is.
  const layout = () => {
    const [width, height] = [canvas().width, canvas().height];
    const side = mode() === "side";
    const area = side ? [width / 2, height] : [width, height];
    const [w, h] = size(media.sample ?? media.exemplar);
    const scale = zoom || Math.min(area[0] / (w * times()), area[1] / (h * times()));
    return { area, scale, side };
  };

  // Where its first tile begins.
  const corner = (each, { area, scale }, left = 0) =>
    size(each).map((n, axis) => (axis ? 0 : left) + (area[axis] - n * scale * times()) / 2 + at[axis]);

  const paint = (context, each, left, { area, scale }, from = 0, to = 1, opacity = 1) => {
    if (!each) return;
    const [w, h] = size(each).map((n) => n * scale);
    const whole = [w * times(), h * times()];
    const origin = corner(each, { area, scale }, left);
    context.save();
    context.globalAlpha = opacity;
    context.beginPath();
    context.rect(left + area[0] * from, 0, area[0] * (to - from), area[1]);
    context.clip();
    context.imageSmoothingEnabled = scale < 2;
    for (let row = 0; row < times(); row++)
      for (let column = 0; column < times(); column++) {
        // Whole pixels of the screen: no gaps between tiles.
        const [x, y] = [Math.round(origin[0] + column * w), Math.round(origin[1] + row * h)];
        const [right, below] = [Math.round(origin[0] + (column + 1) * w), Math.round(origin[1] + (row + 1) * h)];
        if (right > 0 && below > 0 && x < context.canvas.width && y < context.canvas.height)
          context.drawImage(each, x, y, right - x, below - y);
      }
    if (how.seams) {
      context.strokeStyle = "#ff4d4d";
      context.lineWidth = 1;
      context.beginPath();
      for (let n = 0; n <= times(); n++) {
        const [x, y] = [Math.round(origin[0] + n * w) + 0.5, Math.round(origin[1] + n * h) + 0.5];
        context.moveTo(x, origin[1]), context.lineTo(x, origin[1] + whole[1]);
        context.moveTo(origin[0], y), context.lineTo(origin[0] + whole[0], y);
      }
      context.stroke();
    }
    context.restore();
  };

  const draw = () => {
    if (!canvas()) return;
    frame();
    label();
  };

  const frame = () => {
    const each = canvas();
    if (!each) return;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(each.clientWidth * ratio), Math.round(each.clientHeight * ratio)];
    if (each.width !== width || each.height !== height) [each.width, each.height] = [width, height];
    const context = each.getContext("2d");
    context.clearRect(0, 0, width, height);
    root().classList.toggle("empty", !media.sample && !media.exemplar);
    root().classList.toggle("on-light", how.light);
    if (media.sample || media.exemplar) {
      const where = layout();
      const now = mode();
      if (now === "side") {
        paint(context, media.exemplar, 0, where);
        paint(context, media.sample, width / 2, where);
      } else if (now === "split") {
        paint(context, media.exemplar, 0, where, 0, how.share);
        paint(context, media.sample, 0, where, how.share, 1);
        context.fillStyle = "#fff";
        context.fillRect(Math.round(width * how.share) - ratio, 0, 2 * ratio, height);
      } else if (now === "blend") {
        paint(context, media.exemplar, 0, where);
        paint(context, media.sample, 0, where, 0, 1, how.blend);
      } else paint(context, media[now], 0, where);
      if (mask && now !== "side") {
        context.globalAlpha = 0.6;
        context.drawImage(mask, ...corner(mask, where), mask.width * where.scale, mask.height * where.scale);
        context.globalAlpha = 1;
      }
      root().querySelector(".zoom").textContent = `${Math.round((100 * where.scale) / ratio)} %`;
    }
  };

  // Buttons that are pressed, and what is seen in words.
  const label = () => {
    const set = (name, pressed) => root().querySelectorAll(`[data-${name}]`).forEach((button) => {
      button.setAttribute("aria-pressed", String(pressed(button.dataset[name])));
    });
    set("mode", (value) => value === mode());
    set("times", (value) => +value === times());
    set("toggle", (value) => (value === "play" ? !paused : how[value]));
    root().querySelectorAll("[data-mode]").forEach((button) => (button.disabled = button.dataset.mode !== mode() && !(media.sample && media.exemplar)));
    root().querySelector(".clips").hidden = !clips().length;
    root().querySelector(".blend").hidden = mode() !== "blend";
    root().querySelector(".paint").hidden = !mask;
    root().classList.toggle("painting", Boolean(mask));
    for (const name of ["blend", "speed", "brush"]) root().querySelector(`[data-range=${name}]`).value = how[name];
    const words = {
      sample: "the sample",
      exemplar: "the exemplar",
      split: "exemplar left, sample right",
      side: "exemplar and sample side by side",
      blend: "the sample over the exemplar",
    };
    const often = times() > 1 ? `, ${times()} times each way` : "";
    canvas().setAttribute("aria-label", media.sample || media.exemplar ? `${shown.caption ?? ""}: ${words[mode()]}${often}` : "no picture yet");
    const seen = media.sample || media.exemplar;
    root().querySelector(".caption").textContent = (seen && shown.caption) || "";
    root().querySelector(".hint").textContent = shown.caption || "Choose a texture on the left, or begin with a new one on the right.";
    try {
      localStorage.setItem("texsyn-viewer", JSON.stringify(how));
    } catch {}
  };

  const later = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => ((due = false), draw()));
  };

  // Clips: a frame each time the screen has one, and both at the same moment.
  const tick = () => {
    const [first, second] = clips();
    if (second && Math.abs(first.currentTime - second.currentTime) > 0.15 && first.duration && second.duration)
      second.currentTime = first.currentTime % second.duration;
    if (first && !paused) frame();
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);

  const zoomBy = (factor, x, y) => {
    if (!media.sample && !media.exemplar) return;
    const { area, scale } = layout();
    const next = Math.min(MOST, Math.max(LEAST, scale * factor));
    const left = mode() === "side" && x > area[0] ? area[0] : 0;
    const centre = [left + area[0] / 2, area[1] / 2];
    at = [x, y].map((n, axis) => n - centre[axis] - ((n - centre[axis] - at[axis]) * next) / scale);
    zoom = next;
    later();
  };

  const act = (button) => {
    const { mode: chosen, times: often, toggle, act: action } = button.dataset;
    if (chosen) (how.mode = chosen), delete shown.mode;
    if (often) (how.times = +often), fit();
    if (toggle === "play") (paused = !paused), play();
    else if (toggle) how[toggle] = !how[toggle];
    const middle = [canvas().width / 2, canvas().height / 2];
    if (action === "clear") mask.getContext("2d").clearRect(0, 0, mask.width, mask.height), (painted = false);
    if (action === "fit") fit();
    if (action === "pixels") (zoom = devicePixelRatio || 1), (at = [0, 0]);
    if (action === "in") zoomBy(STEP, ...middle);
    if (action === "out") zoomBy(1 / STEP, ...middle);
    later();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#viewer button");
    if (button) act(button);
  });
  document.addEventListener("input", (event) => {
    const range = event.target.closest?.("#viewer [data-range]");
    if (!range) return;
    how[range.dataset.range] = +range.value;
    play();
    later();
  });

  let dragged = null; // "picture", "split" or "mask"
  let last = [0, 0]; // where the brush was
  const brush = (to) => {
    const where = layout();
    const origin = corner(mask, where);
    const context = mask.getContext("2d");
    context.globalCompositeOperation = how.erase ? "destination-out" : "source-over";
    Object.assign(context, { strokeStyle: "#e5484d", lineWidth: how.brush + (how.erase ? 2 : 0), lineCap: "round" });
    context.beginPath();
    for (const point of [last, to]) context.lineTo(...point.map((n, axis) => (n - origin[axis]) / where.scale));
    context.stroke();
    last = to;
    painted ||= !how.erase;
  };
  const position = (event) => {
    const box = canvas().getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top].map((n) => n * (devicePixelRatio || 1));
  };
  document.addEventListener("pointerdown", (event) => {
    if (event.target !== canvas()) return;
    const near = Math.abs(position(event)[0] - canvas().width * how.share) < 14 * (devicePixelRatio || 1);
    dragged = mode() === "split" && near ? "split" : mask && mode() !== "side" && !event.shiftKey ? "mask" : "picture";
    canvas().setPointerCapture(event.pointerId);
    if (dragged === "mask") (last = position(event)), brush(last), later();
  });
  document.addEventListener("pointermove", (event) => {
    if (!dragged || event.target !== canvas()) return;
    if (dragged === "mask") brush(position(event));
    else if (dragged === "split") how.share = Math.min(1, Math.max(0, position(event)[0] / canvas().width));
    else at = [at[0] + event.movementX * (devicePixelRatio || 1), at[1] + event.movementY * (devicePixelRatio || 1)];
    later();
  });
  addEventListener("pointerup", () => (dragged = null));
  addEventListener(
    "wheel",
    (event) => {
      if (event.target !== canvas() || !(event.ctrlKey || event.target === document.activeElement)) return;
      event.preventDefault();
      zoomBy(event.deltaY < 0 ? STEP : 1 / STEP, ...position(event));
    },
    { passive: false },
  );

  // Keys, where nothing is being typed: space plays, T tiles, S shows seams, arrows change the seed.
  const press = (selector) => root()?.querySelector(selector)?.click();
  const keys = {
    " ": () => press("[data-toggle=play]"),
    t: () => press(`[data-times="${(how.times % 4) + 1}"]`),
    s: () => press("[data-toggle=seams]"),
    m: () => press(`[data-mode=${modes[(modes.indexOf(mode()) + 1) % modes.length]}]`),
    0: () => press("[data-act=fit]"),
    1: () => press("[data-act=pixels]"),
    "+": () => press("[data-act=in]"),
    "-": () => press("[data-act=out]"),
    ArrowLeft: () => document.querySelector("#seed-before")?.click(),
    ArrowRight: () => document.querySelector("#seed-after")?.click(),
  };
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest?.("input, textarea, select, [contenteditable], [role=tab], [role=listbox], [role=slider], .image-editor, button");
    if (busy || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key] || !root()) return;
    event.preventDefault();
    keys[event.key]();
  });

  addEventListener("resize", later);
  let known = "";
  new MutationObserver(() => {
    const text = document.querySelector("#view [data-view]")?.dataset.view ?? "{}";
    if (text === known || !canvas()) return;
    known = text;
    show(JSON.parse(text));
  }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["data-view"] });

  window.texsynViewer = { mask: () => (painted ? mask.toDataURL("image/png") : ""), get state() { return { mode: mode(), zoom, at, paused, clips: clips().length, loaded: Object.keys(media) }; } };
})();

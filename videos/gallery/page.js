// The texture made in the browser, and clips that stand still for those who ask for less motion.
const part = document.querySelector("#made");
const canvas = part.querySelector("canvas");
const seed = part.querySelector("[name=seed]");
const size = part.querySelector("[name=size]");
const tiled = part.querySelector("[name=tiled]");
const status = part.querySelector("[role=status]");
const { model, channels, factor } = part.dataset;
const tile = document.createElement("canvas");
let worker;
let busy = false;
let again = false;

const positions = () => Math.round(size.value / factor);

function draw() {
  const repeats = tiled.checked ? 2 : 1;
  canvas.width = canvas.height = tile.width * repeats;
  const context = canvas.getContext("2d");
  context.fillStyle = context.createPattern(tile, "repeat");
  context.fillRect(0, 0, canvas.width, canvas.height);
}

function tell(text) {
  status.textContent = text;
}

function receive({ data }) {
  busy = false;
  if (data.error) {
    tell(`This browser could not make it: ${data.error}`);
    return;
  }
  tile.width = tile.height = data.side;
  tile.getContext("2d").putImageData(new ImageData(data.pixels, data.side, data.side), 0, 0);
  draw();
  part.dataset.shown = `${data.seed} ${data.side}`;
  part.dataset.milliseconds = Math.round(data.milliseconds);
  part.querySelector("[name=save]").disabled = false;
  const how = data.provider === "webgpu" ? "WebGPU" : "WebAssembly";
  tell(`${data.side} x ${data.side}, seed ${data.seed}: ${(data.milliseconds / 1000).toFixed(1)} s with ${how}`);
  if (again) make();
}

function make() {
  again = busy;
  if (busy) return;
  busy = true;
  if (!worker) {
    worker = new Worker("worker.js", { type: "module" });
    worker.onmessage = receive;
    worker.onerror = () => receive({ data: { error: "a page opened as a file may not; serve its folder" } });
    worker.postMessage({ model, channels: Number(channels), factor: Number(factor) });
    tell("Loading the model");
  } else tell("Making it");
  worker.postMessage({ seed: Math.min(2 ** 31 - 1, Math.max(0, Math.floor(seed.value))), positions: positions() });
}

function save() {
  tile.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    const [number, side] = part.dataset.shown.split(" ");
    link.download = `texture-${number}-${side}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

part.querySelector("[name=make]").onclick = make;
part.querySelector("[name=next]").onclick = () => {
  seed.value = Number(seed.value) + 1;
  make();
};
part.querySelector("[name=save]").onclick = save;
seed.onchange = make;
size.onchange = make;
size.oninput = () => {
  part.querySelector("[for=size] output").textContent = positions() * factor;
};
tiled.onchange = () => tile.width && draw();

if (matchMedia("(prefers-reduced-motion: reduce)").matches) for (const clip of document.querySelectorAll("video")) clip.pause();

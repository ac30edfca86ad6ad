// Runs the exported generator away from the page, which so stays usable.
import { noise } from "./noise.js";
import * as ort from "./ort.webgpu.min.mjs";

const RUNTIME = "ort-wasm-simd-threaded.asyncify";
let weights;
let session;
let provider;

async function unpacked(file) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file}: ${response.status}`);
  const stream = response.body.pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function open(model) {
  const adapter = navigator.gpu && (await navigator.gpu.requestAdapter());
  const isGpu = adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter); // a fallback is software
  ort.env.wasm.numThreads = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  ort.env.wasm.wasmPaths = { mjs: new URL(`./${RUNTIME}.mjs`, import.meta.url).href };
  ort.env.wasm.wasmBinary = await unpacked(`./${RUNTIME}.wasm.gz`);
  weights = await unpacked(model);
  if (isGpu) await create("webgpu").catch(() => create("wasm"));
  else await create("wasm");
}

async function create(wanted) {
  session = await ort.InferenceSession.create(weights, { executionProviders: [wanted], logSeverityLevel: 3 });
  provider = wanted;
}

async function run(feeds) {
  try {
    return await session.run(feeds);
  } catch (error) {
    if (provider === "wasm") throw error;
    await create("wasm"); // the GPU has gone, or has too little memory
    return session.run(feeds);
  }
}

// `side * side * 4` bytes of a square texture that tiles.
async function make({ seed, positions }, channels, factor) {
  const field = new ort.Tensor("float32", noise(seed, channels, positions), [1, channels, positions, positions]);
  const { texture } = await run({ z: field });
  const values = await texture.getData();
  const side = positions * factor;
  const pixels = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let colour = 0; colour < 3; colour++) {
    const start = texture.dims[1] === 3 ? colour * side * side : 0;
    for (let n = 0; n < side * side; n++) pixels[4 * n + colour] = (values[start + n] + 1) * 127.5;
  }
  texture.dispose();
  return { pixels, side };
}

let settings;
let ready;

self.onmessage = async ({ data }) => {
  try {
    if (data.model) {
      settings = data;
      ready = open(data.model);
      await ready;
      return;
    }
    await ready;
    const start = performance.now();
    const made = await make(data, settings.channels, settings.factor);
    const answer = { ...made, provider, seed: data.seed, milliseconds: performance.now() - start };
    self.postMessage(answer, [made.pixels.buffer]);
  } catch (error) {
    self.postMessage({ error: String(error.message ?? error) });
  }
};

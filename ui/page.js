// Pasting an image uploads it, and so do the files of a folder that is dropped. The tiled preview can be dragged, or moved with the arrow keys.
const upload = (files) => {
  const input = document.querySelector("#upload input[type=file]");
  if (!files.length || !input) return;
  const list = new DataTransfer();
  files.forEach((file) => list.items.add(file));
  input.files = list.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
};

document.addEventListener("paste", (event) => upload([...(event.clipboardData?.files ?? [])].slice(0, 1)));

const filesIn = (folder) =>
  new Promise((resolve) => {
    const reader = folder.createReader();
    const found = [];
    const more = () =>
      reader.readEntries(async (entries) => {
        if (!entries.length) return resolve(found);
        const files = entries.filter((entry) => entry.isFile && /\.(png|jpe?g|webp|tiff?|exr)$/i.test(entry.name));
        found.push(...(await Promise.all(files.map((entry) => new Promise((done) => entry.file(done))))));
        more();
      });
    more();
  });

document.addEventListener(
  "drop",
  (event) => {
    const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.());
    const folder = entries.find((entry) => entry?.isDirectory);
    if (!folder || !event.target.closest?.("#upload")) return;
    event.preventDefault();
    event.stopPropagation();
    filesIn(folder).then(upload);
  },
  true,
);

// Clips in the tiled preview play at the chosen speed.
window.texsynSpeed = 1;
window.texsynPlay = () => document.querySelectorAll(".videos video").forEach((v) => (v.playbackRate = window.texsynSpeed));
document.addEventListener("loadedmetadata", window.texsynPlay, true);

const shift = (tile, x, y) => {
  const at = [(+tile.dataset.x || 0) + x, (+tile.dataset.y || 0) + y];
  [tile.dataset.x, tile.dataset.y] = at;
  tile.style.backgroundPosition = `${at[0]}px ${at[1]}px`;
};

document.addEventListener("pointermove", (event) => {
  const tile = event.target.closest?.(".tile");
  if (tile && event.buttons) shift(tile, event.movementX, event.movementY);
});

document.addEventListener("keydown", (event) => {
  const tile = event.target.closest?.(".tile");
  const step = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8], ArrowDown: [0, 8] }[event.key];
  if (!tile || !step) return;
  event.preventDefault();
  shift(tile, ...step);
});

// A reload returns to the page that was open.
const tabs = () => [...document.querySelectorAll("[role=tab]")].filter((tab) => tab.offsetParent);
addEventListener("pagehide", () => {
  const open = tabs().find((tab) => tab.getAttribute("aria-selected") === "true");
  if (open) sessionStorage.setItem("texsyn-page", open.textContent.trim());
});
const mounted = new MutationObserver(() => {
  if (!tabs().length) return;
  mounted.disconnect();
  const open = tabs().find((tab) => tab.textContent.trim() === sessionStorage.getItem("texsyn-page"));
  setTimeout(() => open?.click());
});
mounted.observe(document, { childList: true, subtree: true });

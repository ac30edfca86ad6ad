// Pasting an image uploads it. The tiled preview can be dragged, or moved with the arrow keys.
document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])][0];
  const input = document.querySelector("#upload input[type=file]");
  if (!file || !input) return;
  const list = new DataTransfer();
  list.items.add(file);
  input.files = list.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});

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

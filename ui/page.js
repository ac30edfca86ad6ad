// Pasting an image uploads it, and so do the files of a folder that is dropped; a texture that is dropped on the picture is
// made again. The theme, the tab that was open, and news of a fit for a page that nobody looks at.
const upload = (files, where = "#upload") => {
  const input = document.querySelector(`${where} input[type=file]`);
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

const onStage = (event) => event.target.closest?.("#stage") && event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => onStage(event) && event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!onStage(event)) return;
  event.preventDefault();
  upload([...event.dataTransfer.files].slice(0, 1), "#dropped");
});

// How far the chosen fit is stands in the title of the page; its end is told where the page is hidden.
let followed = {};
const news = () => {
  const status = document.querySelector("#status .run-status");
  const done = document.querySelector("#status .bar")?.getAttribute("aria-valuenow");
  const title = done === undefined ? "texsyn" : `${done} % - texsyn`;
  if (document.title !== title) document.title = title; // which is a change of the page, too
  const now = { run: status?.querySelector("b")?.textContent, working: done !== undefined };
  if (followed.working && !now.working && followed.run === now.run && document.hidden && window.Notification?.permission === "granted")
    new Notification(now.run, { body: status.querySelector("span").textContent });
  followed = now;
};
document.addEventListener("click", (event) => {
  if (event.target.closest?.("#start") && window.Notification?.permission === "default") Notification.requestPermission();
});
new MutationObserver(news).observe(document, { childList: true, subtree: true });

// Dark, unless the reader has chosen light.
const dark = (yes) => {
  document.body.classList.toggle("dark", yes);
  const button = document.querySelector("#theme");
  if (button) button.textContent = yes ? "Light" : "Dark";
};
const chosen = () => localStorage.getItem("texsyn-theme") !== "light";
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("#theme")) return;
  localStorage.setItem("texsyn-theme", chosen() ? "light" : "dark");
  dark(chosen());
});
// Gradio sets the class by the system when it is mounted.
document.addEventListener("DOMContentLoaded", () => {
  dark(chosen());
  new MutationObserver(() => document.body.classList.contains("dark") === chosen() || dark(chosen())).observe(document.body, {
    attributes: true,
    attributeFilter: ["class"],
  });
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
  dark(chosen());
  const open = tabs().find((tab) => tab.textContent.trim() === sessionStorage.getItem("texsyn-page"));
  setTimeout(() => open?.click());
});
mounted.observe(document, { childList: true, subtree: true });

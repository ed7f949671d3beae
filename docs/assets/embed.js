// Frames of recordings grow to their content and follow the theme of the page around them. Opened
// from disk a frame may not be looked into; it keeps its height then and follows the system.

const isDark = () => document.body.dataset.mdColorScheme === "slate";

function fit(frame) {
  const page = frame.contentDocument;
  if (!page?.body) return;
  const grow = () => { frame.style.height = `${page.documentElement.offsetHeight + 2}px`; };
  new ResizeObserver(grow).observe(page.body);
  grow();
  follow(frame);
}

// The viewer has a button for its theme; it is pressed if the two differ.
function follow(frame) {
  const root = frame.contentDocument?.querySelector("[data-theme]");
  if (!root || (root.dataset.theme === "dark") === isDark()) return;
  frame.contentDocument.querySelector('[aria-label="Light or dark"], [title="Light or dark"]')?.click();
}

const frames = document.querySelectorAll("iframe.recording");
for (const frame of frames) {
  frame.addEventListener("load", () => fit(frame));
  if (frame.contentDocument?.readyState === "complete") fit(frame);
}
new MutationObserver(() => frames.forEach(follow))
  .observe(document.body, { attributes: true, attributeFilter: ["data-md-color-scheme"] });

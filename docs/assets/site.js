// Frames of recordings grow to their content, follow the theme of the page around them, and move
// together where two stand side by side. Opened from disk a frame may not be looked into: it keeps
// its height then, follows the system's theme, and stands for itself.

const isDark = () => document.body.dataset.mdColorScheme === "slate";
const viewerOf = (frame) => frame.contentDocument?.querySelector(".nv")?.viewer;
const frames = [...document.querySelectorAll("iframe.recording")];

function prepare(frame) {
  const viewer = viewerOf(frame);
  if (!viewer) return;
  fit(frame);
  follow(frame);
  link(frame, viewer);
  if (frame.closest(".plays")) playOnceSeen(frame, viewer);
}

// Once it has settled, a frame does not shrink while it keeps its width: the page below should not
// jump at every step.
function fit(frame) {
  const page = frame.contentDocument, settled = performance.now() + 1500;
  let width = 0, height = 0;
  const grow = () => {
    const isNew = frame.clientWidth !== width || performance.now() < settled;
    if (isNew) [width, height] = [frame.clientWidth, 0];
    height = Math.max(height, page.documentElement.offsetHeight + 2);
    frame.style.height = `${height}px`;
  };
  new ResizeObserver(grow).observe(page.body);
  grow();
}

function follow(frame) {
  const viewer = viewerOf(frame);
  if (viewer && (viewer.root.dataset.theme === "dark") !== isDark()) viewer.toggleTheme();
}

function link(frame, viewer) {
  const others = frames.filter((other) => other !== frame && other.closest(".side-by-side"));
  if (!frame.closest(".side-by-side")) return;
  viewer.options.onStep = (step) => others.forEach((other) => viewerOf(other)?.goto(step));
}

// Plays by itself when it comes into sight, until somebody touches it; not for those who asked
// their system for less motion.
function playOnceSeen(frame, viewer) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const watch = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    watch.disconnect();
    viewer.togglePlay();
  }, { threshold: 0.2 });
  watch.observe(frame);
  for (const touch of ["pointerdown", "keydown"]) {
    frame.contentDocument.addEventListener(touch, () => viewer.stop(), { once: true, capture: true });
  }
}

for (const frame of frames) {
  frame.addEventListener("load", () => prepare(frame));
  if (frame.contentDocument?.readyState === "complete") prepare(frame);
}
new MutationObserver(() => frames.forEach(follow))
  .observe(document.body, { attributes: true, attributeFilter: ["data-md-color-scheme"] });

// What scrolls sideways can be scrolled with the keyboard.
function letKeysScroll() {
  const boxes = ".md-typeset__scrollwrap, .highlight-ipynb, .jp-OutputArea-output, .scrolls, .highlight pre";
  for (const box of document.querySelectorAll(boxes)) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
  }
}
addEventListener("load", letKeysScroll);
addEventListener("resize", letKeysScroll);

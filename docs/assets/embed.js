// Frames of recordings grow to their content and follow the theme of the page around them. Opened
// from disk a frame may not be looked into; it keeps its height then and follows the system.
const fit = (frame) => {
  const page = frame.contentDocument;
  if (!page?.body) return;
  const grow = () => { frame.style.height = `${page.documentElement.offsetHeight + 2}px`; };
  new ResizeObserver(grow).observe(page.body);
  grow();
};

for (const frame of document.querySelectorAll("iframe.recording")) {
  frame.addEventListener("load", () => fit(frame));
  if (frame.contentDocument?.readyState === "complete") fit(frame);
}

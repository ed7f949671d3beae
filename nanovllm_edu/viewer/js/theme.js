// Colours and fonts of the theme in force, for what is drawn on canvases. JupyterLab's theme comes
// first, then the button of the page, then the system's wish.

const NAMES = ["bg", "fg", "muted", "faint", "border", "track", "accent", "danger", "good", "warn",
  "used-area", "cached-area"];

export function readTheme(root, forced, isOwnPage) {
  const isDark = forced ? forced === "dark" : wantsDark();
  root.dataset.theme = isDark ? "dark" : "light";
  document.documentElement.classList.toggle("nv-dark-page", Boolean(isOwnPage && isDark));
  const styles = getComputedStyle(root);
  const get = (name) => styles.getPropertyValue(`--nv-${name}`).trim();
  const pen = document.createElement("canvas").getContext("2d");
  const theme = { isDark, font: (size, weight = 400) => `${weight} ${size}px ${get("font")}`,
    mono: (size) => `${size}px ${get("mono")}` };
  for (const name of NAMES) {
    pen.fillStyle = get(name); // names such as "white" come back as #rrggbb
    theme[name.replace(/-(.)/, (_, letter) => letter.toUpperCase())] = pen.fillStyle;
  }
  return theme;
}

function wantsDark() {
  const lab = document.body.dataset.jpThemeLight;
  return lab ? lab === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Calls back when the theme changes; returns what stops it.
export function watchTheme(redraw) {
  const media = matchMedia("(prefers-color-scheme: dark)");
  // Later: while a theme's style sheets are exchanged, nothing has its size.
  const onTheme = () => [50, 500].forEach((delay) => setTimeout(redraw, delay));
  media.addEventListener("change", onTheme);
  const watch = new MutationObserver(onTheme);
  watch.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  return () => {
    media.removeEventListener("change", onTheme);
    watch.disconnect();
  };
}

// Colours and fonts of the theme in force, for what is drawn on canvases. The button of the page comes
// first, then the theme of JupyterLab, VS Code, Colab or our site, then the system's wish.

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
  const { body, documentElement: root } = document, lab = body.dataset.jpThemeLight;
  if (lab) return lab === "false";
  const code = [...body.classList].filter((name) => /^vscode-(light|dark|high-contrast)/.test(name));
  if (code.length) return !code.some((name) => name.endsWith("light"));
  const site = body.dataset.mdColorScheme;
  if (site) return site === "slate";
  const colab = root.getAttribute("theme");
  return colab ? colab === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Calls back when the theme changes; returns what stops it.
export function watchTheme(redraw) {
  const media = matchMedia("(prefers-color-scheme: dark)");
  // Later: while a theme's style sheets are exchanged, nothing has its size.
  const onTheme = () => [50, 500].forEach((delay) => setTimeout(redraw, delay));
  media.addEventListener("change", onTheme);
  const watch = new MutationObserver(onTheme);
  const attributeFilter = ["data-jp-theme-light", "data-jp-theme-name", "data-md-color-scheme", "class", "theme"];
  for (const el of [document.body, document.documentElement]) watch.observe(el, { attributeFilter });
  return () => {
    media.removeEventListener("change", onTheme);
    watch.disconnect();
  };
}

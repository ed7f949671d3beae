/* Light or dark as on the rest of the site, whose switch keeps the choice in the browser; before there
   is one, as the system likes it. The viewer reads the same attribute. */

function chosenScheme() {
  const end = ".__palette"; // after the site's folder: Material for MkDocs
  for (const key of Object.keys(localStorage)) {
    if (!key.endsWith(end) || !location.pathname.startsWith(key.slice(0, -end.length))) continue;
    return JSON.parse(localStorage.getItem(key)).color.scheme;
  }
}

function followScheme() {
  let scheme;
  try {
    scheme = chosenScheme();
  } catch { // a browser that keeps nothing, or something else under that name
  }
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.body.dataset.mdColorScheme = scheme ?? (isDark ? "slate" : "default");
}

followScheme();
addEventListener("storage", followScheme); // the switch of another tab
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", followScheme);

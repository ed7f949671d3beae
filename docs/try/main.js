// The page of the live engine: what is on it, wired to the verbs of player.js.
//
// The recording stays until the engine is there. The weights of the model come after that, unseen; until
// somebody has touched the engine it then begins again with the model.

import { Engine } from "./engine.js";
import { button, download, Kind, Options } from "./forms.js";
import { Player } from "./player.js";
import { PolicyEditor } from "./policy.js";
import { Views } from "./views.js";
import { h } from "../live/viewer.js";

const $ = (name) => document.getElementById(`try-${name}`);
const FORKED = ["policy", "num_blocks", "block_size", "max_num_batched_tokens", "eviction", "prefix_cache", "speculation"];
const KINDS = { checksum: "a checksum stands for the model, so its words make no sense", model: "the model in the box" };

const engine = new Engine(new URL("../live/worker.js", import.meta.url));
const views = new Views($("views"), () => player.update && show());
const player = new Player(engine, views, { say, onChange: show });
const kind = new Kind();
let menu = null, settings = null, scene = "", weights = "loading";

function say(text, isError = false) {
  $("said").textContent = text;
  $("said").classList.toggle("try-error", isError);
}

function status(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

// ---- what is shown

function show() {
  const { update, isRunning } = player;
  $("slider").max = update.last;
  $("slider").value = views.position;
  const place = views.position < 0 ? "before the first step" : `step ${views.position} of ${update.last}`;
  $("slider").setAttribute("aria-valuetext", place);
  $("place").textContent = place;
  $("run").textContent = isRunning ? "Stop" : "Run";
  $("run").setAttribute("aria-pressed", String(isRunning));
  $("abort").textContent = views.selected === null ? "End sequence" : `End sequence ${views.selected}`;
  showScene();
  const more = { loading: " The model is loading (5 MB).", here: "", failed: " The model cannot be loaded." }[weights];
  status(`Live: ${KINDS[update.kind]}.${update.kind === "model" ? "" : more}`);
}

function showScene() {
  const { caption, update } = player, left = update.captions_left;
  for (const el of $("scenes").children) el.setAttribute("aria-pressed", String(el.dataset.scene === scene));
  $("question").textContent = scene ? menu.scenes[scene].question : "A scenario from a link.";
  $("question").hidden = document.querySelector("h1").textContent.startsWith($("question").textContent);
  $("next").hidden = !scene || !menu.scenes[scene].captions;
  $("next").textContent = left ? "Next" : "To the end";
  $("caption").hidden = $("next").hidden;
  const words = caption ? `${caption.number} of ${caption.of}. ${caption.text}`
    : `${menu.scenes[scene]?.captions} things to notice. Press Next.`;
  if ($("caption").firstChild?.textContent === words) return;
  $("caption").replaceChildren(words, caption ? h("span.try-why", {}, `The engine says: ${caption.why}.`) : "");
}

// ---- beginning

async function begin({ link, name = "", options = {} }) {
  scene = name;
  await player.begin({ link, scene: name, options, kind: kind.value });
  settings.show(player.update.options);
  fork.show(player.update.options);
}

function beginScene(name) {
  return player.attempt(() => begin({ link: menu.scenes[name].link, name }));
}

const isScenario = () => location.hash.startsWith("#v=");

// A link from a stranger: what is wrong with it is said, and the first scene begins.
async function beginFromAddress() {
  const link = location.hash.slice(1), [first] = Object.keys(menu.scenes);
  if (!isScenario()) return begin({ link: menu.scenes[first].link, name: first });
  try {
    await begin({ link });
  } catch (error) {
    await begin({ link: menu.scenes[first].link, name: first });
    say(`The link cannot be opened: ${error.message}`, true);
  }
}

async function loadModel() {
  try {
    await player.loadWeights();
    weights = "here";
    kind.setModel(true);
    kind.value = "model";
    if (player.isTouched) return say("The model is here: Start again to let it answer.");
    const said = $("said").textContent; // that a link was wrong stays so
    await player.attempt(async () => {
      await begin({ link: player.update.link, name: scene });
      say(said, Boolean(said));
    });
  } catch {
    weights = "failed";
  }
  show();
}

// ---- the forms

const fork = { show() {} };

function buildForms() {
  settings = new Options(menu);
  const form = $("settings").querySelector("form");
  form.append(...settings.el, kind.el, button("Start again with these", null, "submit"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { link } = scene ? menu.scenes[scene] : { link: startOf(player.update.link) };
    player.attempt(() => begin({ link, name: scene, options: settings.values }));
  });
  buildFork();
  new PolicyEditor($("policy").querySelector("form"), menu.exercises, player);
  $("take").querySelector("div").append(
    button("Copy a link to this moment", () => player.attempt(copyLink)),
    button("Download as a page", () => player.attempt(async () => download("steps.html", await engine.call("page"), "text/html"))),
    button("Download the recording", () => player.attempt(async () => download("steps.json", await engine.call("recording"), "application/json"))));
}

function buildFork() {
  const options = new Options(menu, FORKED), form = $("fork").querySelector("form");
  form.append(...options.el, button("Fork at the step that is shown", null, "submit"),
    button("Close the fork", () => player.attempt(() => player.closeFork())));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    player.attempt(() => player.fork(options.values));
  });
  fork.show = (values) => options.show(values);
}

const startOf = (link) => link.replace(/&step=\d+$/, "");

async function copyLink() {
  const address = new URL(`#${player.update.link}`, location);
  history.replaceState(null, "", address);
  await navigator.clipboard?.writeText(address.href).catch(() => {});
  say("The link is in the address bar, and copied if your browser allows it. A fork does not travel with it.");
}

// ---- the buttons

function wire() {
  for (const [name, { title }] of Object.entries(menu.scenes)) {
    $("scenes").append(h("button", { type: "button", data: { scene: name }, onclick: () => beginScene(name) }, title));
  }
  $("until").append(h("option", { value: "" }, "stopped"), ...menu.breakpoints.map((name) => h("option", {}, name)));
  $("back").addEventListener("click", () => player.back());
  $("step").addEventListener("click", () => player.attempt(() => player.step()));
  $("run").addEventListener("click", () => player.isRunning ? player.stop()
    : player.attempt(() => player.run({ breakpoint: $("until").value || null })));
  $("next").addEventListener("click", () => player.attempt(() => player.run({ caption: player.update.captions_left > 0 })));
  $("slider").addEventListener("input", () => views.goto(Number($("slider").value)));
  $("abort").addEventListener("click", () => player.attempt(() => player.abort(views.selected)));
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    player.attempt(async () => {
      await player.add($("prompt").value, Number($("tokens").value), $("form").value === "ask");
      $("prompt").value = "";
    });
  });
  addEventListener("hashchange", () => isScenario() && player.attempt(beginFromAddress));
}

async function start() {
  menu = await engine.call("menu");
  buildForms();
  wire();
  for (const part of ["live", "more"]) $(part).hidden = false;
  await beginFromAddress();
  $("recorded").remove();
  document.documentElement.dataset.live = "yes";
  await loadModel();
}

if (!$("status").dataset.unable) {
  start().catch((error) => status(`The live engine cannot start: ${error.message}. Below is a recording.`));
}

// The live page: one viewer on a stream of steps. The viewer draws a recording that grows; this file
// only says when to follow the newest step and when to begin anew.

const host = document.getElementById("viewer");
const follow = document.getElementById("follow");
const status = document.getElementById("status");
let viewer = null, isLive = true, isMoving = false;

function say(text) {
  status.textContent = text;
}

function setLive(on) {
  isLive = on;
  follow.setAttribute("aria-pressed", String(on));
  follow.textContent = on ? "Pause" : "Go live";
  if (on) toNewest();
}

// Moves that the reader made say that they want to look at that step; ours do not.
function toNewest() {
  if (!viewer) return;
  isMoving = true;
  viewer.goto(viewer.replay.numSteps - 1);
  isMoving = false;
}

function onStep(step) {
  if (!isMoving && isLive && step < viewer.replay.numSteps - 1) setLive(false);
}

function begin(doc) {
  const before = viewer && viewer.step >= 0 ? viewer.replay.entry(viewer.step).step : null;
  const seq = viewer?.chosen.seq ?? null;
  viewer?.destroy();
  viewer = mount(host, doc, { address: { step: isLive ? null : before, seq }, onStep });
  if (isLive) toNewest();
  tell();
}

function tell() {
  if (!viewer) return;
  const n = viewer.replay.numSteps;
  say(n ? `${isLive ? "Live" : "Paused here; the engine goes on"}: ${n} steps to look back over` : "Waiting for the first step");
}

follow.addEventListener("click", () => { setLive(!isLive); tell(); });

const source = new EventSource("watch/events");
source.addEventListener("document", (event) => begin(JSON.parse(event.data)));
source.addEventListener("append", (event) => {
  if (!viewer) return;
  const { entries, pieces } = JSON.parse(event.data);
  const wasAtEnd = viewer.step >= viewer.replay.numSteps - 1;
  viewer.replay.append(entries, pieces);
  if (isLive || (wasAtEnd && !viewer.replay.numSteps)) toNewest();
  tell();
});
source.addEventListener("error", () => say(source.readyState === EventSource.CLOSED
  ? "The server has closed the stream; reload to try again" : "Connection lost; trying again"));

// plan → prepare → forward → sample → commit, with their times. If steps overlapped, those that
// shared time with this one are drawn under one another, on one axis. If several processes share the
// model, each has a lane of its own: what it did, and how much of that was sums over all of them.

import { formatSeconds, h, panel, setText } from "./dom.js";
import { COLOURS } from "./ink.js";

const LANE_HEIGHT = 21, RANK_HEIGHT = 36; // CSS pixels
const PHASE_COLOURS = { plan: 0, prepare: 4, forward: 1, sample: 2, commit: 3 };
const colourOfPhase = (phase) => COLOURS[PHASE_COLOURS[phase] ?? 5];

export class Phases {
  constructor(viewer) {
    this.viewer = viewer;
    const { el, note } = panel("phases", "Phases", (this.lanes = h("div.nv-lanes")),
      (this.track = h("div.nv-phase-track")), (this.words = h("div.nv-phase-words")),
      (this.ranks = h("div.nv-lanes.nv-ranks")));
    Object.assign(this, { el, note });
  }

  update({ k, entry }) {
    const { replay } = this.viewer;
    const times = replay.phases.map((phase, i) => [phase, entry?.times[i] ?? null]);
    const steps = entry ? replay.overlapping(k) : [];
    const isOverlapped = steps.length > 1;
    const total = times.reduce((sum, [, time]) => sum + (time ?? 0), 0);
    this.el.classList.toggle("nv-overlapped", isOverlapped);
    this.showBar(times, total);
    this.showRanks(entry?.ranks ?? []);
    if (isOverlapped) this.showLanes(k, steps);
    else {
      this.lanes.replaceChildren();
      setText(this.note, entry ? `${formatSeconds(total)} in all` : "");
    }
  }

  // The bar is to scale, however short a phase is; so the words stand outside, below it.
  showBar(times, total) {
    const parts = times.map(([name, time]) => [name, time, { "--seq": colourOfPhase(name) }]);
    this.track.replaceChildren(...parts.map(([name, time, style]) => h("i.nv-phase", { data: { phase: name },
      style: { ...style, width: `${(100 * (time ?? 0)) / Math.max(total, 1e-9)}%` }, title: `${name}: ${inWords(time)}` })));
    this.words.replaceChildren(...parts.map(([name, time, style]) => h("span.nv-phase-name", {},
      h("i.nv-swatch.nv-solid", { style }), name, h("b", {}, inWords(time)))));
  }

  // Steps come and go on the axis; the room for the most of them is there from the beginning.
  measure() {
    const { replay } = this.viewer;
    const inFlight = replay.steps.reduce((most, place) => Math.max(most, replay.journal[place].in_flight ?? 0), 0);
    this.lanes.style.minHeight = inFlight ? `${(2 * inFlight + 1) * LANE_HEIGHT}px` : "0";
    const numRanks = replay.steps.reduce((most, place) => Math.max(most, replay.journal[place].ranks?.length ?? 0), 0);
    this.ranks.style.minHeight = numRanks ? `${numRanks * RANK_HEIGHT}px` : "0";
  }

  // On one axis, from the moment the plan was made.
  showRanks(ranks) {
    const { rankPhases } = this.viewer.replay;
    const named = ranks.map((times) => new Map(rankPhases.map((phase, i) => [phase, times[i]])));
    const length = Math.max(1, ...named.map((times) => work(times).reduce((sum, [, time]) => sum + time, 0)));
    this.ranks.replaceChildren(...named.map((times, rank) => {
      const sums = times.get("all-reduce"), share = (time) => `${(100 * time) / length}%`;
      const said = `rank ${rank}: ${work(times).map(([phase, time]) => `${phase} ${formatSeconds(time)}`).join(", ")}`;
      const inSums = sums === null ? "" : `${formatSeconds(sums)} of it in sums over all ranks`;
      return h("div.nv-lane", { data: { rank }, "aria-current": "step" }, h("span", {}, `rank ${rank}`),
        h("div.nv-lane-track", { role: "img", "aria-label": `${said}; ${inSums}` },
          h("div.nv-rank-work", {}, work(times).map(([phase, time]) => h("i.nv-phase", { title: `rank ${rank}, ${phase}: ${formatSeconds(time)}`,
            style: { "--seq": colourOfPhase(phase), width: share(time) } }))),
          sums === null ? null : h("i.nv-rank-sums", { title: inSums, style: { width: share(sums) } })),
        h("span", {}), h("small", {}, inSums));
    }));
  }

  showLanes(k, steps) {
    const { replay } = this.viewer, own = replay.spans(k);
    const begin = own.launch[0]?.[1] ?? own.commit[0], length = Math.max(1, own.commit[1] - begin);
    const flight = own.flight[1] - own.flight[0], { step } = replay.entry(k);
    setText(this.note, `${formatSeconds(length)} from plan to commit, ${formatSeconds(flight)} of ` +
      "them in flight while the host did other work");
    const bar = (name, from, to, title) => {
      const left = Math.max(0, (from - begin) / length), right = Math.min(1, (to - begin) / length);
      return right <= left ? null : h(`i.nv-span.nv-span-${name}`, { title, style: {
        left: `${100 * left}%`, width: `${100 * (right - left)}%`, "--seq": colourOfPhase(name) } });
    };
    this.lanes.replaceChildren(...steps.map((at) => {
      const { launch, flight: [from, to], commit } = replay.spans(at), id = replay.entry(at).step;
      return h("div.nv-lane", { data: { step: id }, "aria-current": at === k ? "step" : null },
        h("span", {}, at === k ? h("b", {}, `step ${id}`) : `step ${id}`),
        h("div.nv-lane-track", { role: "img", "aria-label": laneLabel(id, step, own, launch[0]?.[1] ?? from) },
          bar("flight", from, to, `step ${id} in flight: ${formatSeconds(to - from)}`),
          launch.map(([phase, a, b]) => bar(phase, a, b, `step ${id}, ${phase}: ${formatSeconds(b - a)}`)),
          bar("commit", ...commit, `step ${id}, commit: ${formatSeconds(commit[1] - commit[0])}`)));
    }));
  }
}

// What a rank did, one after the other; its sums are a part of that.
const work = (times) => [...times].filter(([phase, time]) => phase !== "all-reduce" && time !== null);

// A phase that was not measured has no length.
const inWords = (time) => (time === null ? "–" : formatSeconds(time));

function laneLabel(id, step, own, begin) {
  if (id === step) return `step ${id}, from its plan to its commit`;
  return begin >= own.flight[0] && begin < own.commit[0]
    ? `step ${id} was planned while step ${step} was in flight`
    : `step ${id} was in flight when step ${step} was planned`;
}

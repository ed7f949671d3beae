// The verbs behind the buttons: they ask the engine, show what came, and say what there is to say.
//
// A step goes forward through what is recorded, and at its end with the engine. Whatever takes too
// long is ended, and the scenario begins again where it was.

import { Ended } from "./engine.js";

const LIMIT = 5000; // milliseconds
const PACE = 90; // milliseconds that a step stays in sight while the engine runs
const CALM_PACE = 400; // for those who asked their system for less motion

export class Player {
  // say(text, isError), onChange(player)
  constructor(engine, views, { say, onChange }) {
    Object.assign(this, { engine, views, say, onChange });
    this.update = null;
    this.isRunning = this.isTouched = false;
    this.queue = Promise.resolve();
  }

  // Begins a scenario: { link, scene, options, kind }.
  async begin(scenario) {
    this.stop();
    const update = await this.engine.call("start", scenario, 60000);
    this.reached = {};
    this.caption = null;
    this.isTouched = false;
    this.take(update, update.last);
  }

  take(update, position) {
    this.update = update;
    Object.assign(this.reached, update.reached);
    if (update.caption) this.caption = update.caption;
    this.views.take(update);
    this.views.goto(position);
    this.onChange(this);
  }

  async ask(name, args) {
    this.isTouched = true;
    return this.engine.call(name, args, LIMIT);
  }

  get isAtEnd() {
    return this.views.position >= this.update.last;
  }

  get isDone() {
    return this.isAtEnd && !this.update.has_work;
  }

  // One step. Whether there was one.
  async step() {
    const next = this.views.position + 1;
    if (!this.isAtEnd) this.views.goto(next);
    else if (this.isDone) this.say("Nothing is left to do: ask something, or start again.");
    else {
      const update = await this.ask("step");
      const hasMoved = update.last >= next;
      this.take(update, next);
      return hasMoved;
    }
    return !this.isDone;
  }

  back() {
    this.stop();
    this.views.goto(this.views.position - 1);
  }

  // Until nothing is left to do, a breakpoint is reached, or a caption has come true.
  async run({ breakpoint = null, caption = false } = {}) {
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (caption) this.views.goto(this.update.last);
    this.isRunning = true;
    this.onChange(this);
    try {
      while (this.isRunning && await this.step()) {
        const at = this.views.position;
        if (breakpoint && this.reached[at]?.includes(breakpoint)) return this.say(`Stopped after step ${at}: ${breakpoint}.`);
        if (caption && this.update.caption) return;
        await new Promise((resolve) => setTimeout(resolve, isCalm ? CALM_PACE : PACE));
      }
      if (breakpoint && this.isRunning && this.isDone) this.say(`Nothing is left to do, and no further ${breakpoint} came.`);
    } finally {
      this.stop();
    }
  }

  stop() {
    this.isRunning = false;
    if (this.update) this.onChange(this);
  }

  async add(text, maxTokens, isQuestion) {
    this.take(await this.ask("add", { text, max_tokens: maxTokens, is_question: isQuestion }), this.update.last);
    this.say("It waits; step to see it start.");
  }

  async abort(seq) {
    this.take(await this.ask("abort", { seq_id: seq }), this.update.last);
    this.say(`Sequence ${seq} is ended; its blocks are free.`);
  }

  async fork(options, source = "") {
    const at = this.views.position;
    const update = await this.ask("fork", { at, options, source });
    this.take(update, at);
    this.say(`Forked ${at < 0 ? "before the first step" : `after step ${at}`}; Step and Run move both.`);
  }

  async closeFork() {
    this.take(await this.ask("close_fork"), this.views.position);
  }

  loadWeights() {
    return this.engine.call("load_weights");
  }

  // What a button does: one after the other, and whatever runs stops first. A mistake becomes a message;
  // an engine that was ended begins again.
  attempt(verb) {
    this.stop();
    this.queue = this.queue.then(async () => {
      this.say("");
      try {
        await verb();
      } catch (error) {
        this.say(error.message, true);
        if (error instanceof Ended && this.update) await this.recover(error).catch(({ message }) => this.say(message, true));
      }
      if (this.update) this.onChange(this);
    });
    return this.queue;
  }

  async recover({ message }) {
    const { link, kind } = this.update;
    this.say(`${message} The engine starts again.`, true);
    if (kind === "model") await this.loadWeights();
    await this.begin({ link, kind });
    this.say(`${message} The scenario was begun again and stands where it stood; a fork is gone.`, true);
  }
}

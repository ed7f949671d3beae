// The editor for a policy of one's own: checked as in lesson 12, scored in its arena, or put into a
// fork of the engine that is on the page. The code runs in the worker and nowhere else.

import { Ended } from "./engine.js";
import { button } from "./forms.js";
import { h } from "../live/viewer.js";

const LIMIT = 5000; // milliseconds that the worker may be silent

export class PolicyEditor {
  constructor(form, exercises, player) {
    this.exercises = exercises;
    this.player = player;
    this.choice = h("select", { onchange: () => this.open() },
      exercises.map(({ id, title }) => h("option", { value: id }, `${id} ${title}`)));
    this.code = h("textarea", { rows: 16, autocapitalize: "off", "aria-label": "Your policy, in Python",
      onkeydown: (event) => this.onKey(event) });
    this.code.spellcheck = false;
    this.said = h("div.try-verdict", { role: "status" });
    this.table = h("div.try-scores");
    form.append(h("label", {}, "exercise ", this.choice), this.code,
      h("div.try-row", {}, button("Check", () => this.check()), button("Score in the arena", () => this.score()),
        button("Run it in a fork", () => this.fork()), button("Hint", () => this.hint())),
      this.said, this.table);
    this.open();
  }

  get exercise() {
    return this.exercises.find(({ id }) => id === this.choice.value);
  }

  open() {
    this.code.value = this.exercise.starter;
    this.hints = [...this.exercise.hints];
    this.say("");
  }

  say(text, isRight = null) {
    this.said.replaceChildren(...(text ? [h("b", {}, { true: "✓ ", false: "✗ " }[isRight] ?? ""), text] : []));
    this.said.dataset.right = String(isRight);
  }

  // Enter keeps the indentation; Tab stays what it is for whoever has no mouse.
  onKey(event) {
    if (event.key !== "Enter") return;
    const { value, selectionStart } = this.code, line = value.slice(0, selectionStart).split("\n").at(-1);
    const deeper = line.trimEnd().endsWith(":") ? "    " : "";
    event.preventDefault();
    this.code.setRangeText(`\n${/^ */.exec(line)[0]}${deeper}`, selectionStart, this.code.selectionEnd, "end");
  }

  // Errors of the code are messages here, and an engine that was ended begins again.
  async ask(name, args = {}) {
    let answer = null;
    this.say("At work …");
    this.table.replaceChildren();
    await this.player.attempt(async () => {
      try {
        answer = await this.player.engine.call(name, { source: this.code.value, ...args }, LIMIT);
        this.say("");
      } catch (error) {
        this.say(error.message, false);
        if (error instanceof Ended) throw error;
      }
    });
    return answer;
  }

  async check() {
    const verdict = await this.ask("check", { exercise_id: this.exercise.id });
    if (verdict) this.say(verdict.message, verdict.is_right);
  }

  async score() {
    const board = await this.ask("score");
    if (!board) return;
    const cells = (row, tag) => row.map((text) => h(tag, {}, text));
    this.table.replaceChildren(h("table.try-table", { "aria-label": "Policies in the arena" },
      h("thead", {}, h("tr", {}, cells(board.header, "th"))),
      h("tbody", {}, board.rows.map((row) => h("tr", {}, cells(row, "td"))))));
  }

  fork() {
    this.say("");
    return this.player.attempt(() => this.player.fork({}, this.code.value));
  }

  hint() {
    this.say(this.hints.length > 1 ? this.hints.shift() : this.hints[0]);
  }
}

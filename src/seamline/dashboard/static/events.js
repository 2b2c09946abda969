// Decisions with their reasons and rivals, and what people changed: all that is known of the stream, newest first.

import { ABSENT, el, number, seconds } from "./format.js";

const MOST_SHOWN = 200;
const BY_HAND = /^(pinned|asked for) /;

export class Events {
  constructor() {
    this.list = document.getElementById("switches");
    this.kind = document.getElementById("kind");
    this.begin({ decisions: [], changes: [] });
    this.kind.addEventListener("change", () => { if (this.stream) this.draw(this.stream); });
  }

  begin(past) {
    this.known = new Map(past.decisions.map((each) => [each.number, each]));
    this.changes = new Map(past.changes.map((each) => [each.at_s, each]));
    this.name = null;
    this.drawn = null;
  }

  take(stream) {
    const newest = stream.decisions[stream.decisions.length - 1];
    if (this.name !== null && (this.name !== stream.name || (newest?.number ?? 0) < this.known.size)) this.begin({ decisions: [], changes: [] });
    this.name = stream.name;
    for (const each of stream.decisions) this.known.set(each.number, each);
    for (const each of stream.changes) this.changes.set(each.at_s, each);
  }

  get decisions() {
    return [...this.known.values()].sort((a, b) => a.number - b.number);
  }

  draw(stream) {
    this.stream = stream;
    const decision = document.getElementById("decision");
    if (decision.textContent !== stream.snapshot.decision) decision.textContent = stream.snapshot.decision;
    if (stream.costs.rivals.length) document.querySelector("#rivals tbody").replaceChildren(...stream.costs.rivals.map(rivalRow));
    const last = this.decisions.slice(-3).map((each) => [each.number, each.switch.gap_s, each.switch.at_s]);
    const key = JSON.stringify([this.kind.value, this.known.size, this.changes.size, last]);
    if (this.drawn === key) return;
    this.drawn = key;
    const items = this.wanted().slice(0, MOST_SHOWN).map((each) => (each.switch ? switchItem(each) : changeItem(each)));
    this.list.replaceChildren(...(items.length ? items : [el("li", { class: "none" }, "None so far.")]));
  }

  wanted() {
    const at = (each) => each.switch?.at_s ?? each.at_s;
    const isByHand = (each) => !each.switch || BY_HAND.test(each.switch.reason);
    const all = [...this.decisions, ...this.changes.values()].sort((a, b) => at(b) - at(a));
    const kind = this.kind.value;
    return kind === "all" ? all : all.filter((each) => isByHand(each) === (kind === "hand"));
  }
}

function rivalRow(rival) {
  const plan = rival.plan ? el("code", {}, rival.plan) : rival.refusal ?? ABSENT;
  const words = rival.plan && rival.refusal ? el("span", {}, plan, ` ${rival.refusal}`) : plan;
  return el("tr", {}, el("th", { scope: "row" }, rival.kind), el("td", {}, words),
    el("td", { class: "n" }, seconds(rival.latency_s)), el("td", { class: "n" }, number(rival.throughput_fps)));
}

function switchItem({ number: which, switch: change, rivals }) {
  const cost = [["prepared in", change.prepare_s], ["swapped in", change.switch_s], ["gap", change.gap_s]]
    .filter(([, value]) => value !== null).map(([name, value]) => `${name} ${seconds(value)}`).join(", ");
  const table = rivals.length ? el("details", {}, el("summary", {}, "alternatives then"), el("table", {}, el("tbody", {}, ...rivals.map(rivalRow)))) : null;
  return el("li", { "data-testid": `switch-${which}` },
    el("div", {}, el("b", {}, `${which}`), ` at ${number(change.at_s)} s: `, el("span", { class: "plan" }, `${change.from_plan} → ${change.to_plan}`)),
    el("div", {}, change.reason), el("div", { class: "cost" }, cost), table);
}

function changeItem(change) {
  return el("li", { "data-testid": "change" },
    el("div", {}, `at ${number(change.at_s)} s: ${change.what}`), el("div", { class: "cost" }, change.by));
}

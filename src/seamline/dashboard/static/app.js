// The page: state comes once a second and is drawn; nothing is kept but what the eye needs.

import { CutCurve, TimeLines } from "./charts.js";
import { ABSENT, el, number, seconds } from "./format.js";
import { drawTopology } from "./topology.js";
import { Wheel } from "./wheel.js";

const STALE_MS = 4000;
const wheel = new Wheel();
const curve = new CutCurve((plan) => wheel.offer(plan));
const lines = new TimeLines();
const choice = document.getElementById("streams");
const connection = document.getElementById("connection");
let source = null;
let newest = null;
let shown = null;
let history = {};
let heard = 0;

function chosen() {
  return newest.streams.find((stream) => stream.name === choice.value) ?? newest.streams[0];
}

function take(state) {
  newest = state;
  heard = Date.now();
  connected(true);
  const names = state.streams.map((stream) => stream.name).join();
  if (names !== choice.dataset.names) {
    choice.dataset.names = names;
    const before = choice.value;
    choice.replaceChildren(...state.streams.map((stream) => el("option", { value: stream.name }, stream.title)));
    if (names.split(",").includes(before)) choice.value = before;
    document.getElementById("choice").hidden = state.streams.length < 2;
  }
  const stream = chosen();
  if (!stream) return;
  if (shown !== stream.name) {
    shown = stream.name;
    curve.selected = null;
    lines.begin(history[stream.name] ?? []);
  }
  lines.take(stream);
  draw(stream);
}

function draw(stream) {
  document.getElementById("title").textContent = stream.title;
  document.title = `${seconds(stream.snapshot.latency_s)} – Seamline`;
  document.getElementById("version").textContent = `Seamline ${newest.version}. Link loss is not measured: links are TCP.`;
  drawTiles(stream);
  drawTopology(stream);
  if (stream.costs.curves.length || stream.costs.rivals.length) curve.draw(stream);
  lines.draw(stream);
  drawDecisions(stream);
  wheel.draw(stream);
}

function drawTiles(stream) {
  const now = stream.snapshot;
  const off = now.latency_s && now.predicted_s ? ` (${now.latency_s >= now.predicted_s ? "+" : "−"}${Math.abs(Math.round((now.latency_s / now.predicted_s - 1) * 100))} %)` : "";
  const tiles = [
    ["latency", seconds(now.latency_s), `predicted ${seconds(now.predicted_s)}${off}`],
    ["frames a second", now.frame_rate_fps > 0 ? number(now.frame_rate_fps) : ABSENT, `${now.n_answered} answered`],
    ["dropped before acceptance", String(now.n_dropped), `${now.n_in_flight} in flight`],
    ["objective", now.objective, now.energy_j_per_frame === null ? "" : `${number(now.energy_j_per_frame, 2)} J a frame, ${now.energy_source}`],
    [`plan ${now.generation}${now.is_pinned ? ", pinned" : ""}`, now.plan, "", "long"],
  ];
  document.getElementById("tiles").replaceChildren(...tiles.map(([name, value, more, kind]) => el(
    "dl", { class: `tile ${kind ?? ""}` }, el("dt", {}, name),
    el("dd", { "data-testid": name.split(/[ ,]/)[0] }, kind ? el("span", { class: "plan" }, value) : value, more ? el("small", {}, more) : null))));
}

function drawDecisions(stream) {
  const decision = document.getElementById("decision");
  if (decision.textContent !== stream.snapshot.decision) decision.textContent = stream.snapshot.decision;
  if (stream.costs.rivals.length) document.querySelector("#rivals tbody").replaceChildren(...stream.costs.rivals.map(rivalRow));
  const list = document.getElementById("switches");
  const key = JSON.stringify(stream.decisions.map((each) => [each.number, each.switch.gap_s, each.switch.at_s]));
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...stream.decisions.slice().reverse().map(switchItem));
  if (!stream.decisions.length) list.append(el("li", { value: 0 }, "None so far."));
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
  return el("li", { value: which, "data-testid": `switch-${which}` },
    el("div", {}, `${number(change.at_s)} s: `, el("span", { class: "plan" }, `${change.from_plan} → ${change.to_plan}`)),
    el("div", {}, change.reason), el("div", { class: "cost" }, cost), table);
}

function connected(is) {
  const words = is ? "live" : "the run does not answer";
  if (connection.textContent !== words) connection.textContent = words;
  connection.classList.toggle("off", !is);
}

async function begin() {
  source?.close();
  try {
    history = await (await fetch("/api/history")).json();
  } catch {
    connected(false);
  }
  shown = null;
  source = new EventSource("/api/events");
  source.onmessage = (event) => take(JSON.parse(event.data));
  source.onerror = () => connected(false);
}

choice.addEventListener("change", () => { if (newest) take(newest); });
document.addEventListener("visibilitychange", () => {
  if (document.hidden) source?.close(); // a browser has few connections for one place: those who look get them
  else begin();
});
setInterval(() => { if (!document.hidden && heard && Date.now() - heard > STALE_MS) connected(false); }, 1000);

function redraw() {
  curve.reset();
  lines.reset();
  if (newest) draw(chosen());
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try { localStorage.setItem("seamline-theme", root.dataset.theme); } catch { /* it counts until the page is left */ }
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });

await wheel.signIn();
await begin();

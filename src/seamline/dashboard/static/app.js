// The page: state comes once a second and is drawn; nothing is kept but what the eye needs.

import { CutCurve, TimeLines } from "./charts.js";
import { Events } from "./events.js";
import { ABSENT, el, number, seconds } from "./format.js";
import { StreamTable } from "./streams.js";
import { drawTopology } from "./topology.js";
import { Wheel } from "./wheel.js";

const STALE_MS = 4000;
const wheel = new Wheel();
const curve = new CutCurve((plan) => wheel.offer(plan));
const lines = new TimeLines();
const events = new Events();
const table = new StreamTable(choose);
const connection = document.getElementById("connection");
let source = null;
let newest = null;
let chosen = "";
let heard = 0;
let hasPicture = false;

function take(state) {
  const began = performance.now();
  newest = state;
  heard = Date.now();
  connected(true);
  const stream = state.stream;
  table.draw(state.streams, stream?.name ?? chosen);
  document.getElementById("one").hidden = !stream;
  drawNotice(state);
  if (stream) {
    lines.take(stream);
    events.take(stream);
    draw(stream);
    drawPicture(state);
  }
  document.body.dataset.updateMs = (performance.now() - began).toFixed(1);
}

function drawNotice(state) {
  const troubles = Object.entries(state.troubles).map(([origin, words]) => `${origin}: ${words}`);
  const isGone = !state.stream && chosen && !state.streams.some((row) => row.name === chosen);
  if (isGone) troubles.unshift(`The stream ${chosen} has ended, or its node is gone.`);
  else if (!state.stream && !state.streams.length) troubles.unshift("No stream runs.");
  const notice = document.getElementById("notice");
  const words = troubles.join(" ");
  if (notice.textContent !== words) notice.textContent = words;
  notice.hidden = !words;
}

function draw(stream) {
  document.getElementById("title").textContent = stream.title;
  document.title = `${seconds(stream.snapshot.latency_s)} – Seamline`;
  document.getElementById("version").textContent = `Seamline ${newest.version}. Link loss is not measured: links are TCP.`;
  drawTiles(stream);
  drawTopology(stream);
  if (stream.costs.curves.length || stream.costs.rivals.length) curve.draw(stream);
  lines.draw(stream, events.decisions);
  events.draw(stream);
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

function drawPicture(state) {
  const image = document.getElementById("picture");
  const words = document.getElementById("no-picture");
  const why = state.why_no_picture || (hasPicture ? "" : "No frame has been answered yet.");
  if (words.textContent !== why) words.textContent = why;
  image.hidden = Boolean(why);
  if (state.why_no_picture || (image.src && !image.complete)) return; // one at a time
  image.src = `/api/picture?stream=${encodeURIComponent(state.stream.name)}&look=${state.number}`;
}

function connected(is) {
  const words = is ? "live" : "the run does not answer";
  if (connection.textContent !== words) connection.textContent = words;
  connection.classList.toggle("off", !is);
}

document.getElementById("picture").addEventListener("load", () => { hasPicture = true; });

function choose(name) {
  chosen = name;
  hasPicture = false;
  begin();
}

async function begin() {
  source?.close();
  const query = `?stream=${encodeURIComponent(chosen)}`;
  try {
    const past = await (await fetch(`/api/history${query}&over=${lines.windowS}`)).json();
    lines.begin(past.ticks);
    events.begin(past);
  } catch {
    connected(false);
  }
  curve.selected = null;
  source = new EventSource(`/api/events${query}`);
  source.onmessage = (event) => take(JSON.parse(event.data));
  source.onerror = () => connected(false);
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) source?.close(); // a browser has few connections for one place: those who look get them
  else begin();
});
setInterval(() => { if (!document.hidden && heard && Date.now() - heard > STALE_MS) connected(false); }, 1000);

function redraw() {
  curve.reset();
  lines.reset();
  if (newest?.stream) draw(newest.stream);
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  try { localStorage.setItem("seamline-theme", root.dataset.theme); } catch { /* it counts until the page is left */ }
  redraw();
});
document.getElementById("range").addEventListener("change", (event) => {
  lines.windowS = Number(event.target.value);
  begin();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });

await wheel.signIn();
await begin();

// The curve over every cut, and latency and frames a second over time. uPlot draws; what it draws is said in words, too.

import { ABSENT, bytes, colours, css, el, number, partName, seconds, stages } from "./format.js";

const FULL_S = 600;
const DAY_S = 86400;
const FONT = '12px system-ui, "DejaVu Sans", sans-serif';

function axes(format, xLabel) {
  const base = { stroke: css("--quiet"), font: FONT, grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false } };
  return [
    { ...base, label: xLabel, labelSize: 18, labelFont: FONT, size: 26, grid: { show: false } },
    { ...base, size: 62, values: (_, ticks) => ticks.map(format) },
  ];
}

function size(element) {
  return { width: Math.max(element.clientWidth, 200), height: element.clientHeight };
}

// -- every cut ---------------------------------------------------------------------------------------------------------

export class CutCurve {
  // `chosen` is called with the plan of a cut that was clicked, or taken by Enter.
  constructor(chosen) {
    this.box = document.getElementById("curve");
    this.target = document.getElementById("target");
    this.readout = document.getElementById("curve-readout");
    this.chosen = chosen;
    this.plot = null;
    this.selected = null;
    this.isPicked = false; // until then the target follows the plan in use
    this.target.addEventListener("change", () => { this.isPicked = true; this.draw(this.stream); });
    this.box.addEventListener("keydown", (event) => this.onKey(event));
    this.box.addEventListener("click", () => this.take());
  }

  reset() {
    this.plot?.destroy();
    this.plot = null;
  }

  draw(stream) {
    this.stream = stream;
    const curves = stream.costs.curves;
    this.offer(curves.map((curve) => curve.target), stream);
    this.curve = curves.find((curve) => curve.target === this.target.value) ?? null;
    this.box.hidden = this.curve === null;
    if (!this.curve) {
      this.readout.textContent = "No other node is there and profiled: the network runs here.";
      document.getElementById("curve-legend").replaceChildren();
      return;
    }
    const cuts = this.curve.cuts;
    this.totals = cuts.map((cut) => sum(cut));
    this.inUse = this.cutInUse();
    const best = Math.min(...this.totals.filter((total, at) => total !== null && !cuts[at].refusal));
    const now = this.inUse === null ? 0 : this.totals[this.inUse] ?? 0;
    this.top = Math.max(Number.isFinite(best) ? best * 4 : 0, now * 1.15, 1e-3);
    const stack = [this.totals, cuts.map((cut) => clip(add(cut.origin_s, cut.transfer_s))), cuts.map((cut) => clip(cut.origin_s))];
    const data = [cuts.map((cut) => cut.cut), ...stack];
    if (this.plot === null || this.drawnFor !== this.curve.target) this.build(data);
    else this.plot.setData(data, false);
    this.plot.setScale("x", { min: -0.7, max: stream.n_cuts + 0.7 });
    this.plot.setScale("y", { min: 0, max: this.top });
    this.say(this.selected ?? this.curve.best_cut);
  }

  offer(targets, stream) {
    const before = this.target.value;
    if (targets.join() !== this.offered) {
      this.offered = targets.join();
      this.target.replaceChildren(...targets.map((name) => el("option", {}, name)));
      this.target.parentElement.hidden = targets.length < 2;
    }
    const used = stages(stream.snapshot.plan).map((stage) => stage.node);
    const follows = this.isPicked ? undefined : targets.find((name) => used.includes(name));
    const wanted = follows ?? (targets.includes(before) ? before : targets[0] ?? "");
    if (this.target.value !== wanted) this.target.value = wanted;
  }

  cutInUse() {
    const plan = stages(this.stream.snapshot.plan);
    if (plan.length === 1) return this.stream.n_cuts;
    return plan.length === 2 && plan[1].node === this.curve.target ? plan[0].to : null;
  }

  build(data) {
    this.reset();
    this.drawnFor = this.curve.target;
    const colour = colours(this.stream);
    const origin = this.origin();
    const bars = uPlot.paths.bars({ size: [0.86, 60] });
    const series = [this.curve.target, "transfer", origin].map((name) => ({
      label: name, fill: css(colour[name]), width: 0, paths: bars, points: { show: false },
    }));
    this.plot = new uPlot({
      ...size(this.box),
      scales: { x: { time: false }, y: {} },
      legend: { show: false },
      cursor: { points: { show: false }, y: false, drag: { x: false, y: false } },
      axes: axes((tick) => seconds(tick), "cut"),
      series: [{}, ...series],
      hooks: {
        draw: [(plot) => this.mark(plot)],
        setCursor: [(plot) => { if (plot.cursor.idx !== null && plot.cursor.left >= 0) this.select(plot.cursor.idx); }],
      },
    }, data, this.box);
    document.getElementById("curve-legend").replaceChildren(
      ...[origin, "transfer", this.curve.target].map((name) => el("span", { colour: css(colour[name]) }, partName(name))),
      el("i", {}, "★ best now, ▲ in use, dimmed: not allowed"));
  }

  mark(plot) {
    const { ctx } = plot;
    const scale = devicePixelRatio || 1;
    const width = Math.max(3, plot.bbox.width / (this.curve.cuts.length + 0.4) * 0.86);
    const bottom = plot.bbox.top + plot.bbox.height;
    ctx.save();
    ctx.textAlign = "center";
    ctx.font = `${14 * scale}px system-ui, "DejaVu Sans", sans-serif`;
    for (const cut of this.curve.cuts) {
      const x = plot.valToPos(cut.cut, "x", true);
      const y = plot.valToPos(Math.min(this.totals[cut.cut] ?? this.top, this.top), "y", true);
      if (cut.refusal) {
        ctx.fillStyle = css("--card");
        ctx.globalAlpha = 0.72;
        ctx.fillRect(x - width / 2 - 1, y - 1, width + 2, bottom - y + 1);
        ctx.globalAlpha = 1;
      }
      ctx.fillStyle = css("--text");
      if (cut.cut === this.curve.best_cut) ctx.fillText("★", x, Math.max(y - 4 * scale, plot.bbox.top + 14 * scale));
      if (cut.cut === this.inUse) ctx.fillText("▲", x, bottom - 3 * scale);
      if (cut.cut === this.selected) {
        ctx.strokeStyle = css("--text");
        ctx.lineWidth = 1.5 * scale;
        ctx.strokeRect(x - width / 2 - 1, y, width + 2, bottom - y);
      }
    }
    ctx.restore();
  }

  select(cut) {
    if (cut === this.selected) return;
    this.selected = cut;
    this.say(cut);
    this.plot.redraw(false);
  }

  onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (this.curve && step) {
      event.preventDefault();
      const from = this.selected ?? this.curve.best_cut;
      this.select(Math.min(Math.max(from + step, 0), this.curve.cuts.length - 1));
    }
    if (event.key === "Enter") this.take();
  }

  take() {
    const cut = this.curve?.cuts[this.selected];
    if (cut) this.chosen(this.planOf(cut));
  }

  planOf(cut) {
    const [origin, end] = [this.origin(), this.stream.n_cuts];
    return cut.codec ? `${origin}[0:${cut.cut}]${cut.codec} > ${this.curve.target}[${cut.cut}:${end}]` : `${origin}[0:${end}]`;
  }

  origin() {
    return this.stream.nodes.find((node) => node.is_origin).name;
  }

  say(at) {
    const cut = this.curve.cuts[at];
    if (!cut) return;
    const origin = this.origin();
    const marks = [at === this.curve.best_cut ? "best" : "", at === this.inUse ? "in use" : ""].filter(Boolean).join(", ");
    const parts = [`${origin} ${seconds(cut.origin_s)}`];
    if (at !== this.stream.n_cuts) parts.push(`links ${seconds(cut.transfer_s)}`, `${this.curve.target} ${seconds(cut.target_s)}`);
    const text = `Cut ${cut.cut}${marks ? ` (${marks})` : ""}${cut.after ? `, after ${cut.after}` : ""}: ${parts.join(" + ")}` +
      ` = ${seconds(sum(cut))}${cut.sent_bytes ? `; ${bytes(cut.sent_bytes)} as ${cut.codec}` : ""}` +
      `${cut.refusal ? `. Not allowed: ${cut.refusal}` : ""}`;
    if (this.readout.textContent !== text) this.readout.textContent = text;
  }
}

const add = (...values) => (values.some((value) => value === null) ? null : values.reduce((a, b) => a + b, 0));
const sum = (cut) => clip(add(cut.origin_s, cut.transfer_s, cut.target_s));
const clip = (value) => (value === null || !Number.isFinite(value) ? null : value);

// -- over time ---------------------------------------------------------------------------------------------------------

export class TimeLines {
  constructor() {
    this.box = document.getElementById("time");
    this.low = document.getElementById("rate");
    this.readout = document.getElementById("time-readout");
    this.plots = null;
    this.ticks = [];
    this.decisions = [];
    this.windowS = FULL_S;
    this.drawnAt = 0;
  }

  reset() {
    this.plots?.forEach((plot) => plot.destroy());
    this.plots = null;
  }

  begin(ticks) {
    const again = ticks.findLastIndex((tick, at) => at > 0 && tick.at_s <= ticks[at - 1].at_s); // the stream began anew
    this.ticks = ticks.slice(Math.max(again, 0));
    this.reset();
  }

  take(stream) {
    const now = stream.snapshot;
    const last = this.ticks[this.ticks.length - 1];
    if (last && now.at_s < last.at_s) this.ticks = [];
    if (last && now.at_s === last.at_s) return;
    const parts = Object.fromEntries(now.parts.map((part) => [part.name, part.duration_s]));
    this.ticks.push({ at_s: now.at_s, latency_s: now.latency_s, frame_rate_fps: now.frame_rate_fps, parts });
    while (this.ticks[0].at_s < now.at_s - DAY_S) this.ticks.shift();
  }

  draw(stream, decisions = this.decisions) {
    this.stream = stream;
    this.decisions = decisions;
    if (this.plots && this.windowS > FULL_S && Date.now() - this.drawnAt < 10_000) return; // a day moves slowly
    this.drawnAt = Date.now();
    const origin = stream.nodes.find((node) => node.is_origin).name;
    const others = stream.nodes.map((node) => node.name).filter((name) => name !== origin).sort();
    const names = [origin, "transfer", ...others];
    const from = (this.ticks[this.ticks.length - 1]?.at_s ?? 0) - this.windowS;
    const shown = this.shown = this.ticks.filter((tick) => tick.at_s >= from);
    const times = shown.map((tick) => tick.at_s);
    const stacks = names.map((_, upTo) => shown.map((tick) => tick.latency_s === null ? null :
      names.slice(0, upTo + 1).reduce((total, name) => total + (tick.parts[name] ?? 0), 0)));
    const data = [times, ...stacks.reverse()];
    const rates = [times, shown.map((tick) => (tick.latency_s === null ? null : tick.frame_rate_fps))];
    if (this.plots === null || this.drawnFor !== names.join()) this.build(names, data, rates);
    const end = times[times.length - 1] ?? 0;
    const range = { min: times[0] ?? 0, max: Math.max(end, (times[0] ?? 0) + 30) };
    this.plots.forEach((plot, at) => { plot.setData(at ? rates : data, true); plot.setScale("x", range); });
    if (!this.hovers) this.say(shown.length - 1);
    this.describe();
  }

  build(names, data, rates) {
    this.reset();
    this.drawnFor = names.join();
    this.names = names;
    const colour = colours(this.stream);
    const cursor = { sync: { key: "time" }, points: { show: false }, y: false, drag: { x: false, y: false } };
    const hooks = {
      draw: [(plot) => this.mark(plot, plot.root.parentElement === this.box)],
      setCursor: [(plot) => { this.hovers = plot.cursor.left >= 0 && plot.cursor.idx !== null; if (this.hovers) this.say(plot.cursor.idx); }],
    };
    const areas = [...names].reverse().map((name) => ({ label: name, fill: css(colour[name]), stroke: css(colour[name]), width: 1, points: { show: false } }));
    const zero = { range: (_, __, max) => [0, (max || 1) * 1.15] };
    const common = { legend: { show: false }, cursor, hooks };
    this.plots = [
      new uPlot({ ...common, ...size(this.box), scales: { x: { time: false }, y: zero }, axes: axes(seconds, ""), series: [{}, ...areas] }, data, this.box),
      new uPlot({ ...common, ...size(this.low), scales: { x: { time: false }, y: zero }, axes: axes((tick) => `${tick} /s`, "seconds since the stream began"),
        series: [{}, { stroke: css("--text"), width: 2, points: { show: false } }] }, rates, this.low),
    ];
    document.getElementById("time-legend").replaceChildren(
      ...names.map((name) => el("span", { colour: css(colour[name]) }, partName(name))), el("i", {}, "dashed: a switch, with its number"));
  }

  mark(plot, isNumbered) {
    const { ctx, bbox } = plot;
    const scale = devicePixelRatio || 1;
    let free = -Infinity;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = css("--mark");
    ctx.lineWidth = 1.5 * scale;
    ctx.setLineDash([4 * scale, 3 * scale]);
    ctx.font = `bold ${12 * scale}px system-ui, "DejaVu Sans", sans-serif`;
    ctx.textAlign = "left";
    for (const { number: which, switch: change } of this.decisions) {
      const x = plot.valToPos(change.at_s + change.prepare_s, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (isNumbered && x - free > 18 * scale) { ctx.fillText(String(which), x + 3 * scale, bbox.top + 11 * scale); free = x; }
    }
    ctx.restore();
  }

  say(at) {
    const tick = this.shown[at];
    if (!tick) return;
    const parts = this.names.filter((name) => tick.parts[name]).map((name) => `${partName(name)} ${seconds(tick.parts[name])}`);
    this.readout.textContent = `At ${number(tick.at_s, 0)} s: ${parts.join(" + ") || ABSENT} = ${seconds(tick.latency_s)}; ${number(tick.frame_rate_fps)} frames/s`;
  }

  describe() {
    const known = this.shown.filter((tick) => tick.latency_s !== null).map((tick) => tick.latency_s).sort((a, b) => a - b);
    const median = known[Math.floor(known.length / 2)];
    this.box.setAttribute("aria-label", known.length ? `Latency by part over ${known.length} seconds: ` +
      `median ${seconds(median)}, from ${seconds(known[0])} to ${seconds(known[known.length - 1])}` : "No answers yet");
    this.low.setAttribute("aria-label", "Frames a second over the same time");
  }
}

// Nodes in the order of the plan with the hops between them, the network as a strip, and the links as a table.

import { ABSENT, bytes, colours, el, number, rate, seconds, stages } from "./format.js";

export function drawTopology(stream) {
  const plan = stages(stream.snapshot.plan);
  const colour = colours(stream);
  drawNetwork(stream, plan, colour);
  drawNodes(stream, plan, colour);
  drawLinks(stream, plan);
}

function drawNetwork(stream, plan, colour) {
  const strip = document.getElementById("network");
  strip.setAttribute("aria-label", `The network's ${stream.n_cuts} layers: ` +
    plan.map((stage) => `${stage.node} runs ${stage.from} to ${stage.to}`).join(", "));
  strip.replaceChildren(...plan.map((stage) => el(
    "div",
    { fill: `var(${colour[stage.node]})`, grow: Math.max(stage.to - stage.from, stream.n_cuts / 30), title: `${stage.node}[${stage.from}:${stage.to}]` },
    `${stage.node} ${stage.from}–${stage.to}`,
  )));
}

function drawNodes(stream, plan, colour) {
  const items = [];
  stream.nodes.forEach((node, at) => {
    if (at > 0) items.push(hop(stream, plan, at));
    items.push(nodeCard(node, colour));
  });
  document.getElementById("nodes").replaceChildren(...items);
}

function nodeCard(node, colour) {
  const words = !node.is_here ? "gone" : node.layers === null ? "idle" : `layers ${node.layers.replace(":", "–")}`;
  const kind = !node.is_here ? "gone" : node.layers === null ? "idle" : "busy";
  const figures = node.is_here ? el("dl", {},
    el("dt", {}, "waiting"), el("dd", {}, seconds(node.queue_s)),
    el("dt", {}, "pace"), el("dd", {}, node.compute_ratio === null ? ABSENT : `${number(node.compute_ratio, 2)}× profile`),
    el("dt", {}, "free"), el("dd", {}, `${bytes(node.free_memory_bytes)} of ${bytes(node.memory_bytes)}`),
    el("dt", {}, "threads"), el("dd", {}, String(node.threads))) : null;
  return el("li", { class: `node ${kind}`, colour: `var(${colour[node.name]})`, "data-testid": `node-${node.name}`, "data-state": kind, title: node.engine },
    el("strong", {}, node.name), " ",
    el("span", { class: "state" }, [node.tier, node.is_origin ? "origin" : "", words].filter(Boolean).join(", ")),
    figures);
}

function hop(stream, plan, at) {
  if (at >= plan.length) return el("li", { class: "hop gap", "aria-hidden": "true" }, el("div", { class: "wire" }));
  const [source, target] = [plan[at - 1], plan[at]];
  const link = stream.snapshot.links.find((each) => each.source === source.node && each.target === target.node);
  return el("li", { class: "hop" },
    el("span", {}, link ? rate(link.goodput_bps) : ABSENT),
    el("div", { class: "wire" }),
    el("span", {}, source.codec || "raw"));
}

function drawLinks(stream, plan) {
  const used = new Set(plan.slice(1).map((stage, at) => `${plan[at].node} ${stage.node}`));
  const last = plan[plan.length - 1];
  if (plan.length > 1) used.add(`${last.node} ${plan[0].node}`);
  const pairs = new Map();
  for (const link of stream.snapshot.links) {
    const ends = [link.source, link.target];
    const known = pairs.get(`${ends[1]} ${ends[0]}`);
    if (known) known.back = link;
    else pairs.set(ends.join(" "), { there: link, back: null });
  }
  const rows = [...pairs.values()].map(({ there, back }) => {
    const ways = [used.has(`${there.source} ${there.target}`) ? "there" : "", used.has(`${there.target} ${there.source}`) ? "back" : ""];
    return el("tr", {},
      el("th", { scope: "row" }, `${there.source} – ${there.target}`),
      cell(there), cell(back),
      el("td", { class: "n" }, seconds(there.rtt_s)),
      el("td", { class: "used" }, ways.filter(Boolean).join(" and ")));
  });
  document.querySelector("#links tbody").replaceChildren(...rows);
  document.getElementById("links").hidden = rows.length === 0;
}

function cell(link) {
  if (!link) return el("td", { class: "n" }, ABSENT);
  return el("td", { class: link.goodput_bps > 0 ? "n" : "n down" }, rate(link.goodput_bps));
}

// Figures as text, and elements: everything that comes from elsewhere is set as text, never as markup.

export const ABSENT = "–";

export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return ABSENT;
  if (value === 0) return "0 s";
  if (value >= 10) return `${value.toFixed(1)} s`;
  if (value >= 1) return `${value.toFixed(2)} s`;
  if (value >= 0.1) return `${Math.round(value * 1e3)} ms`;
  return `${(value * 1e3).toFixed(1)} ms`;
}

export function scaled(value, unit, base = 1000) {
  if (value === null || value === undefined || !Number.isFinite(value)) return ABSENT;
  const prefixes = ["", "k", "M", "G", "T"];
  let step = 0;
  while (value >= base && step < prefixes.length - 1) { value /= base; step += 1; }
  return `${value >= 100 || step === 0 ? Math.round(value) : value.toFixed(1)} ${prefixes[step]}${unit}`;
}

export const rate = (bps) => (bps > 0 ? scaled(bps, "bit/s") : "down");
export const bytes = (n) => scaled(n, "B");
export const number = (value, digits = 1) =>
  value === null || value === undefined || !Number.isFinite(value) ? ABSENT : value.toFixed(digits);

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "colour") made.style.setProperty("--colour", value);
    else if (name === "fill") made.style.background = value;
    else if (name === "grow") made.style.flexGrow = value;
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function stages(plan) {
  return plan.split(" > ").map((text) => {
    const found = /^(.+)\[(\d+):(\d+)\](\w*)$/.exec(text) ?? [text, text, "0", "0", ""];
    return { node: found[1], from: Number(found[2]), to: Number(found[3]), codec: found[4] };
  });
}

// A node's colour is the same everywhere, and stays while others come and go.
export function colours(stream) {
  const names = stream.nodes.map((node) => node.name).sort();
  const origin = stream.nodes.find((node) => node.is_origin).name;
  const ordered = [origin, ...names.filter((name) => name !== origin)];
  const found = Object.fromEntries(ordered.map((name, at) => [name, `--n${at % 6}`]));
  return { ...found, transfer: "--link" };
}

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const partName = (name) => (name === "transfer" ? "links" : name);

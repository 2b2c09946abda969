// All streams in a table that sorts and filters; of a thousand only the rows in view are elements.

import { ABSENT, el, number, seconds } from "./format.js";

const ROW_PX = 34;
const SPARE = 4;
const COLUMNS = [
  ["title", "stream", (row) => row.title],
  ["origin", "origin", (row) => row.origin],
  ["frame_rate_fps", "frames/s", (row) => (row.frame_rate_fps > 0 ? number(row.frame_rate_fps) : ABSENT)],
  ["latency_s", "latency", (row) => seconds(row.latency_s)],
  ["n_dropped", "dropped", (row) => String(row.n_dropped)],
  ["objective", "objective", (row) => row.objective],
  ["plan", "plan", (row) => row.plan + (row.is_pinned ? " (pinned)" : "")],
];
const NUMBERS = new Set(["frame_rate_fps", "latency_s", "n_dropped"]);

export class StreamTable {
  // `choose` is called with the name of the stream that was taken.
  constructor(choose) {
    this.choose = choose;
    this.card = document.getElementById("all");
    this.filter = document.getElementById("filter");
    this.count = document.getElementById("count");
    this.box = document.getElementById("all-rows");
    this.body = this.box.querySelector("tbody");
    this.by = "title";
    this.isDown = false;
    this.rows = [];
    this.pool = [];
    this.buildHead();
    this.filter.addEventListener("input", () => this.arrange());
    this.box.addEventListener("scroll", () => this.render(), { passive: true });
  }

  buildHead() {
    const head = this.box.querySelector("thead tr");
    this.heads = COLUMNS.map(([key, words]) => {
      const button = el("button", { type: "button" }, words);
      const cell = el("th", { scope: "col", class: NUMBERS.has(key) ? `n c-${key}` : `c-${key}` }, button);
      button.addEventListener("click", () => { this.isDown = this.by === key ? !this.isDown : NUMBERS.has(key); this.by = key; this.arrange(); });
      head.append(cell);
      return [key, cell];
    });
    this.above = el("tr", { "aria-hidden": "true" }, el("td", { colspan: COLUMNS.length }));
    this.below = el("tr", { "aria-hidden": "true" }, el("td", { colspan: COLUMNS.length }));
    this.body.append(this.above, this.below);
  }

  draw(rows, chosen) {
    this.rows = rows;
    this.chosen = chosen;
    this.card.hidden = rows.length < 2;
    if (!this.card.hidden) this.arrange();
  }

  arrange() {
    const wanted = this.filter.value.trim().toLowerCase();
    const found = wanted
      ? this.rows.filter((row) => `${row.title} ${row.name} ${row.plan} ${row.objective}`.toLowerCase().includes(wanted))
      : this.rows.slice();
    const [key, sign] = [this.by, this.isDown ? -1 : 1];
    found.sort((a, b) => sign * compare(a[key], b[key]) || compare(a.name, b.name));
    this.found = found;
    const words = found.length === this.rows.length ? `${found.length} streams` : `${found.length} of ${this.rows.length} streams`;
    if (this.count.textContent !== words) this.count.textContent = words;
    for (const [name, cell] of this.heads) cell.setAttribute("aria-sort", name !== key ? "none" : this.isDown ? "descending" : "ascending");
    this.render();
  }

  render() {
    const n = this.found.length;
    const first = Math.max(0, Math.min(Math.floor(this.box.scrollTop / ROW_PX) - SPARE, n - 1));
    const last = Math.min(n, first + Math.ceil(this.box.clientHeight / ROW_PX) + 2 * SPARE);
    while (this.pool.length < last - first) this.pool.push(this.newRow());
    this.pool.forEach((made, at) => {
      const row = this.found[first + at];
      const isShown = first + at < last && row;
      if (made.tr.isConnected !== Boolean(isShown)) {
        if (isShown) this.body.insertBefore(made.tr, this.below);
        else made.tr.remove();
      }
      if (isShown) this.fill(made, row, first + at);
    });
    this.above.firstChild.style.height = `${first * ROW_PX}px`;
    this.below.firstChild.style.height = `${Math.max(0, n - last) * ROW_PX}px`;
    this.above.hidden = first === 0;
    this.below.hidden = last === n;
    this.box.querySelector("table").setAttribute("aria-rowcount", n + 1);
  }

  newRow() {
    const made = { name: "", cells: [], button: el("button", { type: "button" }) };
    made.button.addEventListener("click", () => this.choose(made.name));
    made.tr = el("tr", {}, ...COLUMNS.map(([key], at) => {
      const cell = at ? el("td", { class: NUMBERS.has(key) ? `n c-${key}` : `c-${key}` }) : el("th", { scope: "row" }, made.button);
      made.cells.push(at ? cell : made.button);
      return cell;
    }));
    return made;
  }

  fill(made, row, at) {
    made.name = row.name;
    made.tr.setAttribute("aria-rowindex", at + 2);
    made.tr.classList.toggle("chosen", row.name === this.chosen);
    made.button.setAttribute("aria-pressed", row.name === this.chosen);
    COLUMNS.forEach(([, , text], column) => {
      const words = text(row);
      if (made.cells[column].textContent !== words) made.cells[column].textContent = words;
    });
  }
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  return a < b ? -1 : 1;
}

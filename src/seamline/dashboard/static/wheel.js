// The wheel: preview a plan, pin it, release it. Whoever has not signed in sees it, and may preview.

import { colours, el, number, partName, seconds } from "./format.js";

export class Wheel {
  constructor() {
    this.plan = document.getElementById("plan");
    this.outcome = document.getElementById("outcome");
    this.pinButton = document.getElementById("pin");
    this.releaseButton = document.getElementById("release");
    this.maySteer = false;
    this.isChosen = false; // until then the field follows the plan in use
    this.previewed = null;
    this.objective = document.getElementById("objective");
    this.judgeButton = document.getElementById("judge");
    this.avoid = document.getElementById("avoid");
    document.getElementById("objective-form").addEventListener("submit", (event) => { event.preventDefault(); this.judge(); });
    this.objective.addEventListener("input", () => { this.judges = true; });
    document.getElementById("plan-form").addEventListener("submit", (event) => { event.preventDefault(); this.preview(); });
    this.plan.addEventListener("input", () => { this.isChosen = true; this.previewed = null; this.enable(); });
    this.pinButton.addEventListener("click", () => this.ask("pin", { plan: this.previewed }));
    this.releaseButton.addEventListener("click", () => this.ask("release", {}));
  }

  async signIn() {
    const token = new URLSearchParams(location.hash.slice(1)).get("sign-in");
    if (token) {
      history.replaceState(null, "", "/");
      const answer = await post("sign-in", { token });
      if (answer.error) this.say(answer.error, true);
    }
    const session = await (await fetch("/api/session")).json();
    this.maySteer = session.may_steer;
    this.onlyLooks = session.only_looks;
    this.enable();
  }

  draw(stream) {
    if (this.stream && this.stream.name !== stream.name) { this.isChosen = false; this.previewed = null; this.outcome.replaceChildren(); }
    this.stream = stream;
    const now = stream.snapshot;
    const who = this.maySteer ? "You may steer." : this.onlyLooks || "You may look. The link that the command printed lets one browser steer.";
    const held = now.is_pinned ? "One plan is held: nothing moves until it is released." : "Plans are chosen by the policy.";
    const words = `${held} ${who}`;
    const state = document.getElementById("wheel-state");
    if (state.textContent !== words) state.textContent = words;
    const plans = [now.plan, ...stream.costs.rivals.map((rival) => rival.plan).filter(Boolean)];
    document.getElementById("plans").replaceChildren(...[...new Set(plans)].map((plan) => el("option", { value: plan })));
    if (!this.isChosen) this.plan.value = now.plan;
    if (!this.judges) this.objective.value = now.objective;
    this.drawNodes(stream);
    this.enable();
  }

  drawNodes(stream) {
    const nodes = stream.nodes.filter((node) => !node.is_origin);
    const key = JSON.stringify([this.maySteer, stream.name, stream.avoided, nodes.map((node) => node.name)]);
    if (this.drawnNodes === key) return;
    this.drawnNodes = key;
    const lines = nodes.map((node) => {
      const isAvoided = stream.avoided.includes(node.name);
      const button = el("button", { type: "button", disabled: this.maySteer ? null : "" }, isAvoided ? `Use ${node.name} again` : `Drain ${node.name}`);
      button.addEventListener("click", () => this.drain(node.name, !isAvoided));
      return button;
    });
    this.avoid.hidden = !lines.length;
    this.avoid.replaceChildren(el("legend", {}, "Nodes that take part"), el("div", { class: "buttons" }, ...lines));
  }

  async drain(name, isDrained) {
    const others = this.stream.avoided.filter((each) => each !== name);
    const answer = await post("avoid", { stream: this.stream.name, nodes: isDrained ? [...others, name] : others });
    this.say(answer.error ?? (isDrained ? `${name} runs nothing of this stream any more.` : `${name} may be used again.`), Boolean(answer.error));
  }

  async judge() {
    const answer = await post("objective", { stream: this.stream.name, objective: this.objective.value });
    this.judges = false;
    this.say(answer.error ?? `Plans are judged by ${answer.objective} now, before by ${answer.before}.`, Boolean(answer.error));
  }

  enable() {
    this.judgeButton.disabled = !this.maySteer;
    this.pinButton.disabled = !(this.maySteer && this.previewed);
    this.releaseButton.disabled = !(this.maySteer && this.stream?.snapshot.is_pinned);
  }

  offer(plan) {
    this.isChosen = true;
    this.plan.value = plan;
    this.preview();
  }

  async preview() {
    this.previewed = null;
    const answer = await post("preview", { stream: this.stream.name, plan: this.plan.value });
    if (answer.error) this.say(answer.error, true);
    else this.show(answer);
    this.enable();
  }

  show(preview) {
    const colour = colours(this.stream);
    const total = preview.parts.reduce((sum, part) => sum + part.duration_s, 0) || 1;
    const gain = preview.gain_s === null ? "" :
      `, ${seconds(Math.abs(preview.gain_s))} ${preview.gain_s >= 0 ? "less" : "more"} than the plan in use` +
      (preview.gain_std_s === null ? "" : ` (± ${seconds(preview.gain_std_s)})`);
    const energy = preview.energy_j === null ? "" : `; ${number(preview.energy_j, 2)} J a frame`;
    this.outcome.className = preview.refusal ? "refused" : "";
    this.outcome.replaceChildren(
      el("p", { class: "plan" }, preview.plan),
      el("p", {}, `${seconds(preview.latency_s)} a frame${gain}; up to ${number(preview.throughput_fps)} frames/s${energy}`),
      el("div", { class: "bar", "aria-hidden": "true" }, ...preview.parts.map((part) => el("div", { colour: `var(${colour[part.name]})`, grow: part.duration_s / total }))),
      el("p", { class: "hint" }, preview.parts.map((part) => `${partName(part.name)} ${seconds(part.duration_s)}`).join(" + ")),
      preview.refusal ? el("p", {}, `Not allowed: ${preview.refusal}`) : null);
    this.previewed = preview.refusal ? null : preview.plan;
  }

  async ask(what, body) {
    this.pinButton.disabled = this.releaseButton.disabled = true;
    this.say(what === "pin" ? "Preparing every node on the plan…" : "Releasing…", false);
    const answer = await post(what, { stream: this.stream.name, ...body });
    if (answer.error) this.say(answer.error, true);
    else this.say(what === "pin" ? `Pinned: ${answer.plan}` : "Released: the policy decides again.", false);
    this.previewed = null;
    this.isChosen = false;
    this.enable();
  }

  say(words, isRefused) {
    this.outcome.className = isRefused ? "refused" : "";
    this.outcome.replaceChildren(el("p", {}, words));
  }
}

async function post(path, body) {
  try {
    const answer = await fetch(`/api/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    return await answer.json();
  } catch {
    return { error: "the run does not answer" };
  }
}

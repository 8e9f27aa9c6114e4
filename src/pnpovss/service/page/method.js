// The method as a strip of pictures that can be played, and every head as a small map to choose from.

import { drawBlanked, drawHeat, readGray, rgb, tints } from "./draw.js";
import { thumbnail } from "./stage.js";

const WIDE = 320, SMALL = 128, BEAT = 1400; // widths of pictures [px]; how long a step is shown [ms]
const at = (id) => document.getElementById(id);

const SAID = {
  photo: ["The photo", "as it was sent"],
  attention: ["Attention", "where the words look, by the head that is read"],
  GradCAM: ["GradCAM", "the same, weighed by what raises the match"],
  LeGrad: ["LeGrad", "the gradients alone: where more attention would raise the match"],
  pass: ["Look again", "what drew most attention is blanked, so that the rest is seen"],
  passes: ["The sum", "of all looks: whole things, not only their most telling part"],
  threshold: ["Threshold", "what is weak is set to nothing"],
  "label threshold": ["Labels", "the strongest name of each pixel, at the photo's size"],
  "label blur": ["Blur", "neighbours agree"],
  "label Dense CRF": ["Dense CRF", "borders follow the edges of the photo"],
};

export class Strip {
  constructor() {
    this.cards = [];
    this.timer = null;
    at("play").addEventListener("click", () => (this.timer ? this.stop() : this.play()));
    at("steps-name").addEventListener("change", () => this.draw());
  }

  clear() {
    this.stop();
    this.told = null;
    at("steps").replaceChildren();
    at("steps-said").textContent = "";
    at("play").hidden = at("steps-name-box").hidden = true;
  }

  // What /v1/steps told; names as rows with name and colour.
  async show(photo, told, names) {
    this.photo = photo;
    this.told = told;
    this.names = names;
    const stages = await Promise.all(told.stages.map(async (stage) => ({ step: stage.step, labels: await readGray(stage.labels) })));
    if (this.told !== told) return; // another photo came while these were read
    this.stages = stages;
    at("steps-name").replaceChildren(...told.kept.map((index, i) => new Option(names[index].name, i)));
    at("steps-name-box").hidden = told.kept.length < 2;
    at("play").hidden = false;
    this.draw();
  }

  draw() {
    const name = Number(at("steps-name").value) || 0, { grid, maps, passes } = this.told;
    this.cards = [];
    at("steps").replaceChildren();
    this.#card("photo", () => {});
    for (const { step, maps: own } of maps) {
      if (/passes$/.test(step)) {
        passes.forEach((pass, i) => this.#card("pass", (target) => {
          drawHeat(target, this.photo, pass.maps[name], grid);
          drawBlanked(target, pass.kept, grid);
        }, `Look ${i + 1}`, i ? undefined : "at the whole photo"));
      }
      this.#card(/passes$/.test(step) ? "passes" : step, (target) => drawHeat(target, this.photo, own[name], grid));
    }
    for (const { step, labels } of this.stages) {
      const colours = this.names.map((row) => rgb(row.colour));
      this.#card(`label ${step}`, (target) => target.getContext("2d").drawImage(tints(labels, colours, 0.65, null), 0, 0, target.width, target.height));
    }
  }

  #card(kind, paint, title = SAID[kind][0], text = SAID[kind][1]) {
    const item = document.createElement("li"), button = document.createElement("button"), picture = thumbnail(this.photo, WIDE);
    const head = document.createElement("b"), body = document.createElement("p"), index = this.cards.length;
    paint(picture);
    head.textContent = title;
    body.textContent = text;
    button.type = "button";
    button.setAttribute("aria-label", `Step ${index + 1}: ${title}, ${text}`);
    button.append(picture);
    button.addEventListener("click", () => { this.stop(); this.go(index); });
    item.append(button, head, body);
    at("steps").append(item);
    this.cards.push({ button, said: `${index + 1}. ${title}: ${text}.` });
  }

  go(index) {
    this.now = index;
    this.cards.forEach(({ button }, i) => (i === index ? button.setAttribute("aria-current", "step") : button.removeAttribute("aria-current")));
    const { button, said } = this.cards[index], strip = at("steps");
    strip.scrollTo({ left: button.parentElement.offsetLeft - strip.offsetLeft - 20, behavior: "smooth" });
    at("steps-said").textContent = said;
  }

  play() {
    at("play").textContent = "Stop";
    let next = 0;
    const beat = () => {
      if (next >= this.cards.length) return this.stop();
      this.go(next++);
      this.timer = setTimeout(beat, BEAT);
    };
    beat();
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    at("play").textContent = "Play";
  }
}

// What /v1/heads told, a row per layer; `choose` is given layer and head.
export function showHeads(photo, told, name, choose) {
  const layers = new Map();
  for (const each of told.heads) layers.set(each.layer, [...(layers.get(each.layer) || []), each]);
  const rows = [...layers].map(([layer, heads]) => {
    const row = document.createElement("div"), title = document.createElement("h3");
    row.className = "layer";
    title.textContent = `Layer ${layer}`;
    row.append(title, ...heads.map((each) => {
      const button = document.createElement("button"), picture = thumbnail(photo, SMALL), label = document.createElement("span");
      drawHeat(picture, photo, each.maps[name], told.grid);
      label.textContent = `head ${each.head}`;
      button.type = "button";
      button.setAttribute("aria-label", `Layer ${layer}, head ${each.head}`);
      button.setAttribute("aria-pressed", String(told.read.some(([l, h]) => l === layer && h === each.head)));
      button.append(picture, label);
      button.addEventListener("click", () => choose(layer, each.head));
      return button;
    }));
    return row;
  });
  const box = at("heads"), focused = box.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
  box.replaceChildren(...rows);
  if (focused) box.querySelector(`[aria-label="${focused}"]`)?.focus({ preventScroll: true });
}

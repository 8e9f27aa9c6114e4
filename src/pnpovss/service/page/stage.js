// The photo, with what is laid over it, and the pixel that is pointed at.

import { borders, canvas, drawHeat, tints, VIRIDIS } from "./draw.js";
import { apart, drawNumbers } from "./things.js";

const STEP = 12; // pixels that an arrow key moves

export class Stage {
  constructor(element, cross, onPoint) {
    this.element = element;
    this.cross = cross;
    this.onPoint = onPoint;
    this.photo = null;
    this.labels = null;
    this.colours = [];
    this.opacity = 0.5;
    this.outlines = true;
    this.heat = null;
    this.things = this.only = null;
    this.at = null;
    element.addEventListener("pointermove", (event) => this.#point(event));
    element.addEventListener("pointerdown", (event) => this.#point(event));
    element.addEventListener("pointerleave", () => this.point(null));
    element.addEventListener("blur", () => this.point(null));
    element.addEventListener("keydown", (event) => this.#key(event));
    const scale = document.querySelector("#scale canvas"), context = scale.getContext("2d");
    VIRIDIS.forEach((colour, i) => { context.fillStyle = `rgb(${colour})`; context.fillRect(i / 2, 0, 1, 8); });
  }

  // A new photo, an ImageBitmap; what was laid over the one before is gone.
  show(photo) {
    this.photo = photo;
    this.element.width = photo.width;
    this.element.height = photo.height;
    this.element.style.setProperty("--aspect", photo.width / photo.height);
    this.labels = this.edges = this.heat = this.things = this.only = null;
    this.draw();
  }

  // Labels and how sure each is, both { width, height, values }; a colour [r, g, b] per name, null for one that is hidden.
  // Where things of a name were told apart: { numbers, rows, size } of them.
  lay(labels, sure, colours, things = null) {
    this.labels = labels;
    this.sure = sure;
    this.things = things;
    this.only = null;
    this.edges = borders(things ? apart(labels, things.numbers) : labels);
    this.colours = colours;
    this.draw();
    this.point(this.at);
  }

  // A map { top, values } on its grid instead of regions; null for the regions again.
  warm(map, grid, scale) {
    this.heat = map && { map, grid, scale };
    document.querySelector("#scale").hidden = !map;
    this.draw();
  }

  // One thing alone, by its number; null for all again.
  single(number) {
    this.only = number;
    this.draw();
  }

  draw() {
    if (!this.photo) return;
    const { width, height } = this.element, context = this.element.getContext("2d");
    if (this.heat) {
      drawHeat(this.element, this.photo, this.heat.map, this.heat.grid, this.heat.scale);
      return;
    }
    context.drawImage(this.photo, 0, 0, width, height);
    if (!this.labels) return;
    const only = this.only === null ? undefined : (i) => this.things.numbers.values[i] === this.only;
    const layer = tints(this.labels, this.colours, this.opacity, this.outlines ? this.edges : null, only);
    context.imageSmoothingEnabled = layer.width !== width;
    context.drawImage(layer, 0, 0, width, height);
    context.imageSmoothingEnabled = true;
    if (this.things) {
      const shown = (row) => this.colours[row.name] && (this.only === null || row.number === this.only);
      drawNumbers(this.element, this.things.rows.filter(shown), this.things.size);
    }
  }

  // Tell which label is at a place [px of the canvas], which thing, and how sure it is; null for no place.
  point(at) {
    this.at = at;
    this.cross.hidden = !at;
    if (!at) return this.onPoint(null);
    const box = this.element.getBoundingClientRect(), frame = this.element.parentElement.getBoundingClientRect();
    this.cross.style.left = `${box.left - frame.left + (at.x / this.element.width) * box.width}px`;
    this.cross.style.top = `${box.top - frame.top + (at.y / this.element.height) * box.height}px`;
    if (!this.labels) return this.onPoint(null);
    const { width, height, values } = this.labels;
    const x = Math.min(width - 1, Math.floor((at.x / this.element.width) * width));
    const y = Math.min(height - 1, Math.floor((at.y / this.element.height) * height));
    const i = y * width + x, thing = this.things ? this.things.numbers.values[i] : 0;
    return this.onPoint({ label: values[i], thing, sure: this.sure.values[i] / 255 });
  }

  #point(event) {
    const box = this.element.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.element.width;
    const y = ((event.clientY - box.top) / box.height) * this.element.height;
    this.point({ x: Math.max(0, Math.min(this.element.width - 1, x)), y: Math.max(0, Math.min(this.element.height - 1, y)) });
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const { width, height } = this.element, step = event.shiftKey ? 1 : STEP, [dx, dy] = moves[event.key];
    const from = this.at || { x: width / 2, y: height / 2 };
    this.point({ x: Math.max(0, Math.min(width - 1, from.x + dx * step)), y: Math.max(0, Math.min(height - 1, from.y + dy * step)) });
  }
}

// A copy of a photo no wider than this, for small pictures.
export function thumbnail(photo, width) {
  const small = canvas(width, Math.max(1, Math.round((width * photo.height) / photo.width)));
  small.getContext("2d").drawImage(photo, 0, 0, small.width, small.height);
  return small;
}

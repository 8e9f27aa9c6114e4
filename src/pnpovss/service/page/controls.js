// Settings as sliders and switches. What differs from the service's own is what is sent.

const REFINING = [
  { name: "threshold", label: "Threshold", min: 0, max: 0.9, step: 0.01, digits: 2 },
  { name: "blur.sigma", label: "Blur", min: 0, max: 0.2, step: 0.005, digits: 3, off: "blur" },
  { name: "crf.iterations", label: "Follow edges", min: 0, max: 30, step: 1, digits: 0, off: "crf" },
];
const LOOKING = [
  { name: "presence.above", label: "Absent below", min: 0, max: 1, step: 0.01, digits: 2, off: "presence" },
  { name: "dropout.passes", label: "Passes", min: 1, max: 8, step: 1, digits: 0, needs: "dropout" },
];
const SWITCHES = [
  { name: "gradcam", label: "Weigh by the gradient (GradCAM)", on: true, off: false },
  { name: "views", label: "Look at parts of the photo, too", off: null },
];
const APART = {
  name: "instances.split", label: "One thing from another", off: "instances",
  options: [["", "off"], ["pieces", "by connected pieces"], ["heat", "by peaks of the heat, too"]],
};

export class Controls {
  // `rows` are those of /v1/settings; `onChange` is told whether the change is done (false while a slider moves).
  constructor(rows, onChange) {
    this.own = Object.fromEntries(rows.map((row) => [row.name, row.value]));
    this.onChange = onChange;
    this.changed = {};
    this.inputs = [];
    for (const [id, sliders] of [["refining", REFINING], ["looking", LOOKING]]) {
      for (const each of sliders) document.getElementById(id).append(this.#slider(each));
    }
    for (const each of SWITCHES) {
      if (this.own[each.name] !== null) document.getElementById("looking").append(this.#switch(each));
    }
    document.getElementById("apart").append(this.#choice(APART));
    document.getElementById("reset").addEventListener("click", () => { this.changed = {}; this.#show(); onChange(true); });
    this.#show();
  }

  get settings() { return { ...this.changed }; }

  set(values) {
    Object.assign(this.changed, values);
    for (const [name, value] of Object.entries(values)) if (JSON.stringify(value) === JSON.stringify(this.own[name])) delete this.changed[name];
    this.onChange(true);
  }

  value(name) { return name in this.changed ? this.changed[name] : this.own[name]; }

  #slider(each) {
    const label = document.createElement("label"), text = document.createElement("span");
    const input = document.createElement("input"), output = document.createElement("output");
    label.className = "slider";
    text.textContent = each.label;
    Object.assign(input, { type: "range", min: each.min, max: each.max, step: each.step, name: each.name });
    let moved = false; // since it was told that the change is done
    const settle = () => {
      if (moved) this.onChange(true);
      moved = false;
    };
    input.addEventListener("input", () => { moved = true; this.#take(each, Number(input.value)); this.#show(); this.onChange(false); });
    input.addEventListener("change", settle);
    // Of one that is let go where it was taken, browsers tell no change; it may be let go beside the slider.
    input.addEventListener("pointerdown", () => { for (const end of ["pointerup", "pointercancel"]) addEventListener(end, settle, { once: true }); });
    label.append(text, input, output);
    this.inputs.push(() => {
      const off = each.off && this.value(each.off) === null;
      input.value = off ? 0 : this.value(each.name) ?? each.min;
      output.textContent = off ? "off" : Number(input.value).toFixed(each.digits);
    });
    return label;
  }

  #take(each, value) {
    delete this.changed[each.name];
    if (each.off) {
      delete this.changed[each.off];
      if (value === 0) {
        if (this.own[each.off] !== null) this.changed[each.off] = null;
        return;
      }
    }
    if (each.needs && this.own[each.needs] === null && value === each.min) return;
    if (value !== this.own[each.name]) this.changed[each.name] = value;
  }

  #switch(each) {
    const label = document.createElement("label"), input = document.createElement("input");
    label.className = "check";
    Object.assign(input, { type: "checkbox", name: each.name });
    input.addEventListener("change", () => {
      delete this.changed[each.name];
      if (!input.checked) this.changed[each.name] = each.off;
      this.onChange(true);
    });
    label.append(input, ` ${each.label}`);
    this.inputs.push(() => { input.checked = this.value(each.name) !== each.off; });
    return label;
  }

  #choice(each) {
    const label = document.createElement("label"), text = document.createElement("span"), select = document.createElement("select");
    label.className = "choice";
    text.textContent = each.label;
    select.name = each.name;
    select.append(...each.options.map(([value, said]) => new Option(said, value)));
    select.addEventListener("change", () => {
      delete this.changed[each.name];
      delete this.changed[each.off];
      if (!select.value && this.own[each.off] !== null) this.changed[each.off] = null;
      if (select.value && select.value !== this.own[each.name]) this.changed[each.name] = select.value;
      this.onChange(true);
    });
    label.append(text, select);
    this.inputs.push(() => { select.value = this.value(each.off) === null && !this.changed[each.name] ? "" : this.value(each.name); });
    return label;
  }

  #show() { for (const show of this.inputs) show(); }
}

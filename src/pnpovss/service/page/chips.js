// Names as chips: Enter adds one, and so does leaving the field; commas make synonyms, Backspace in the empty field takes the
// last one back.

export class Chips {
  constructor(box, onChange) {
    this.box = box;
    this.onChange = onChange;
    this.names = []; // each a list: the name, then its synonyms
    this.chips = new Map(); // by such a list
    this.input = document.createElement("input");
    Object.assign(this.input, { id: "name", type: "text", autocomplete: "off", enterKeyHint: "done", placeholder: "cat" });
    this.input.setAttribute("aria-describedby", "asking-hint problem-names");
    this.input.addEventListener("keydown", (event) => this.#key(event));
    // Not "change", which is not told of a name that Backspace put there.
    this.input.addEventListener("blur", () => this.add(this.input.value));
    box.append(this.input);
    box.addEventListener("click", (event) => { if (event.target === box) this.input.focus(); });
  }

  // As the API wants them: a text, or a list of synonyms.
  get asked() { return this.names.map((words) => (words.length === 1 ? words[0] : words)); }

  set(names) {
    this.names = names.map((name) => [name].flat());
    this.#draw();
  }

  add(text) {
    const words = text.split(",").map((word) => word.trim()).filter(Boolean);
    this.input.value = "";
    if (!words.length) return;
    this.names.push(words);
    this.#changed();
  }

  #remove(words) {
    this.names.splice(this.names.indexOf(words), 1);
    this.#changed();
    this.input.focus();
  }

  #changed() {
    this.#draw();
    this.onChange();
  }

  #key(event) {
    if (event.isComposing) return; // Enter and Backspace belong to what is being composed, in Japanese for one
    if (event.key === "Enter") {
      event.preventDefault();
      this.add(this.input.value);
    } else if (event.key === "Backspace" && !this.input.value && this.names.length) {
      event.preventDefault();
      this.input.value = this.names.pop().join(", ");
      this.#changed();
    }
  }

  // Chips that stay are left alone: one may be pressed just now, which is what took the focus from the field and added its name.
  #draw() {
    for (const [words, chip] of this.chips) {
      if (this.names.includes(words)) continue;
      chip.remove();
      this.chips.delete(words);
    }
    for (const words of this.names) {
      if (this.chips.has(words)) continue;
      this.chips.set(words, this.#chip(words));
      this.box.insertBefore(this.chips.get(words), this.input);
    }
    this.input.placeholder = this.names.length ? "another name" : "cat";
  }

  #chip(words) {
    const chip = document.createElement("span"), text = document.createElement("span"), button = document.createElement("button");
    chip.className = "chip";
    text.textContent = words.join(", ");
    button.type = "button";
    button.textContent = "\u00d7";
    button.setAttribute("aria-label", `Remove ${words[0]}`);
    button.addEventListener("click", () => this.#remove(words));
    chip.append(text, button);
    return chip;
  }
}

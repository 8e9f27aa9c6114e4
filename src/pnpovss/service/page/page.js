// The page: a photo and names in, what was found out. Each part has a file of its own; this one connects them.

import { ask, file, get, onKeyNeeded, Problem } from "./api.js";
import { Chips } from "./chips.js";
import { Controls } from "./controls.js";
import { bytes, readGray, readNumbers, readPhoto, rgb } from "./draw.js";
import { showHeads, Strip } from "./method.js";
import { takePhotos } from "./photos.js";
import { Stage } from "./stage.js";
import { asPython, asShell, differences, presetOf, save } from "./takeaway.js";
import { listThings } from "./things.js";

const at = (id) => document.getElementById(id);
const FIELDS = { photo: "problem-photo", photo_id: "problem-photo", names: "problem-names", settings: "problem-settings", presence: "problem-settings" };
const FILES = [
  ["Label map", "labels", ".labels.png"], ["Overlay", "overlay", ".overlay.png"], ["COCO JSON", "rle", ".json"],
  ["Heat maps", "heat", ".heat.zip"], ["Everything (npz)", "npz", ".npz"], ["Numbers of things", "instances", ".instances.png"],
];

let photo = null; // { blob, name, id, bitmap, turned: whether the bitmap is the service's }
let view = null; // what the service answered last
let model = { name: "mini" }, told = null, controls = null;
const hidden = new Set(); // names that are not drawn
let pinned = null; // what stays warm while nothing is pointed at: { kind, text, nth }, to be found in the next answer, too

const stage = new Stage(at("stage"), at("cross"), point);
const strip = new Strip();
const chips = new Chips(at("chips"), () => segment());

// Problems are told beside what caused them.
function tell(problem, place) {
  for (const each of document.querySelectorAll(".problem")) each.textContent = "";
  if (problem) at(place || FIELDS[problem.field] || "problem").textContent = problem.message;
}

// One call at a time: a newer one ends the one before; while one runs, drafts wait for it, and only the last is sent.
let running = null, next = null;

async function segment({ draft = false } = {}) {
  if (draft && running) { next = { draft }; return; }
  running?.abort();
  if (!photo) return;
  if (!controls) return start();
  if (!chips.names.length) { tell(null); return clear(); }
  const mine = running = new AbortController();
  next = null;
  at("busy").hidden = false;
  const begun = performance.now();
  try {
    const fields = { names: chips.asked, settings: controls.settings, outputs: "view", draft: String(draft) };
    const answer = await ask("/v1/segment", photo, fields, { signal: mine.signal, tell: (text) => { at("took").textContent = text; } });
    const found = await answer.json();
    await show(found, mine.signal);
    at("took").textContent = `${Math.round(performance.now() - begun)} ms${draft ? ", a draft" : ""}`;
    tell(null);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    at("took").textContent = "";
    tell(problem);
  } finally {
    if (running === mine) {
      running = null;
      at("busy").hidden = true;
      if (next) segment(next);
    }
  }
}

async function show(found, signal) {
  const seen = found.photo && !photo.turned && readPhoto(new Blob([bytes(found.photo)], { type: "image/jpeg" }));
  const [labels, sure, numbers, turned] = await Promise.all([readGray(found.labels), readGray(found.sure), found.numbers && readNumbers(found.numbers), seen]);
  signal.throwIfAborted(); // another photo may have come while these were read
  view = found;
  if (turned) { // this browser may show the photo as it is stored; the service saw it upright
    Object.assign(photo, { bitmap: turned, turned: true });
    stage.show(turned);
  }
  stage.lay(labels, sure, colours(), numbers && { numbers, rows: found.instances, size: found });
  at("save-instances").hidden = !numbers;
  listNames();
  listWords();
  if (pinned && place(pinned) < 0) pinned = null;
  warm(pinned); // as it is in this answer
  at("hints").replaceChildren(...found.hints.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  at("method").hidden = at("heads-box").hidden = false;
  const settings = differences(told, controls.settings);
  at("shell").textContent = asShell(model.name, presetOf(told), photo.name, chips.asked, settings);
  at("python").textContent = asPython(model.name, presetOf(told), photo.name, chips.asked, settings);
  at("stage").setAttribute("aria-label", `The photo, with ${view.names.filter((row) => row.share > 0).map((row) => row.name).join(", ") || "nothing"} found`);
}

const colours = () => view.names.map((row, i) => (hidden.has(row.name) ? null : rgb(view.names[i].colour)));
const percent = (share) => (share === 0 ? "not found" : share < 0.01 ? "< 1%" : `${Math.round(share * 100)}%`);

function point(found) {
  if (!found || !view) {
    at("pointed").textContent = "Point at the photo, or move over it with the arrow keys.";
    return;
  }
  const name = document.createElement("b");
  name.textContent = found.label ? `${view.names[found.label - 1].name}${found.thing ? ` ${found.thing}` : ""}` : "background";
  at("pointed").replaceChildren(name, `, ${Math.round(found.sure * 100)}% sure`);
}

// Where a name or word is among those of the answer, or -1; words may be there several times, each with a map of its own.
function place(what) {
  let before = what.nth;
  const texts = what.kind === "name" ? view.names.map((row) => row.name) : view.words.map(({ word }) => word);
  return texts.findIndex((text) => text === what.text && before-- === 0);
}

// Maps of names share one scale, maps of words another.
function warm(what) {
  if (!what) return stage.warm(null);
  const maps = what.kind === "name" ? Object.values(view.name_maps) : view.words;
  const map = what.kind === "name" ? view.name_maps[place(what)] : view.words[place(what)];
  return stage.warm(map || { top: 0, values: "" }, view.grid, Math.max(...maps.map((each) => each.top)));
}

// A button that shows a map while it is pointed at or focused, and keeps it when it is pressed.
function warming(button, what) {
  const same = () => pinned && pinned.kind === what.kind && pinned.text === what.text && pinned.nth === what.nth;
  button.setAttribute("aria-pressed", String(Boolean(same())));
  button.addEventListener("pointerenter", () => warm(what));
  button.addEventListener("focus", () => warm(what));
  for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => warm(pinned));
  button.addEventListener("click", () => {
    pinned = same() ? null : what;
    for (const each of document.querySelectorAll("#names .name, #words button")) each.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(Boolean(pinned)));
    warm(pinned || what);
  });
}

function listNames() {
  at("names").replaceChildren(...view.names.map((row, index) => {
    const item = document.createElement("li"), swatch = document.createElement("button");
    const name = document.createElement("button"), numbers = document.createElement("span");
    item.className = row.kept ? "" : "absent";
    swatch.className = "swatch";
    swatch.type = name.type = "button";
    swatch.style.background = swatch.style.borderColor = row.kept ? row.colour : "transparent";
    swatch.disabled = !row.kept;
    swatch.setAttribute("aria-label", `Show ${row.name}`);
    swatch.setAttribute("aria-pressed", String(row.kept && !hidden.has(row.name)));
    swatch.addEventListener("click", () => {
      if (!hidden.delete(row.name)) hidden.add(row.name);
      swatch.setAttribute("aria-pressed", String(!hidden.has(row.name)));
      stage.colours = colours();
      stage.draw();
    });
    name.className = "name";
    name.append(row.name, ...(row.synonyms.length ? [Object.assign(document.createElement("small"), { textContent: ` ${row.synonyms.join(", ")}` })] : []));
    warming(name, { kind: "name", text: row.name, nth: 0 });
    numbers.className = "numbers";
    const match = row.match === null ? "" : `match ${row.match.toFixed(2)}`;
    numbers.append(row.kept ? percent(row.share) : "absent", document.createElement("br"), Object.assign(document.createElement("small"), { textContent: match }));
    item.append(swatch, name, numbers);
    const things = view.instances?.filter((thing) => thing.name === index);
    if (things?.length) item.append(listThings(row.name, things, (number) => stage.single(number)));
    return item;
  }));
}

function listWords() {
  at("words").replaceChildren(...view.words.map(({ word }, index) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: word });
    warming(button, { kind: "word", text: word, nth: view.words.slice(0, index).filter((each) => each.word === word).length });
    return button;
  }));
}

// Nothing is known of the photo at hand: it is new, or nothing is asked any more.
function clear() {
  view = pinned = null;
  strip.clear();
  at("method").hidden = at("heads-box").hidden = at("heads-name-box").hidden = true; // until this photo was looked at
  at("heads").replaceChildren();
  at("names").replaceChildren();
  at("words").replaceChildren();
  at("hints").replaceChildren();
  for (const id of ["shell", "python", "took"]) at(id).textContent = "";
  at("stage").setAttribute("aria-label", "The photo");
  stage.warm(null);
  stage.show(photo.bitmap);
}

let takes = 0; // photos that came so far: of two that come at once the last is shown, whichever is read first

// `blob` may be the promise of one.
async function take(blob, name, names) {
  const turn = ++takes;
  tell(null);
  let read;
  try {
    read = await readPhoto(await blob);
  } catch (error) {
    if (turn === takes) tell(error instanceof Problem ? error : { message: "this browser cannot show this photo; save it as JPEG or PNG" }, "problem-photo");
    return;
  }
  if (turn !== takes) return;
  running?.abort();
  photo = { blob: await blob, name, id: null, bitmap: read };
  document.body.classList.add("has-photo");
  at("work").hidden = false;
  clear();
  if (names) chips.set(names);
  if (chips.names.length) await segment();
  else chips.input.focus();
}

const turns = {}; // how often each address was asked

// What is asked beside the regions: steps and heads, of the names that are shown; null where another photo, or the same
// asked again, came meanwhile.
async function explain(address, settings, place, button) {
  const asked = photo, rows = view.names, turn = (turns[address] = (turns[address] || 0) + 1);
  const late = () => photo !== asked || turns[address] !== turn;
  const names = rows.map(({ name, synonyms }) => (synonyms.length ? [name, ...synonyms] : name));
  button.disabled = true;
  try {
    const answer = await (await ask(address, asked, { names, settings }, {})).json();
    if (late()) return null;
    tell(null);
    return { answer, rows, bitmap: asked.bitmap };
  } catch (problem) {
    if (!late()) tell(problem, place);
    return null;
  } finally {
    if (turns[address] === turn) button.disabled = false;
  }
}

// The strip shows at least four passes.
at("show-steps").addEventListener("click", async () => {
  const passes = Math.max(4, controls.value("dropout.passes") || 1);
  const told = await explain("/v1/steps", { ...controls.settings, "dropout.passes": passes }, "problem-steps", at("show-steps"));
  if (told) await strip.show(told.bitmap, told.answer, told.rows);
});

async function heads() {
  const told = await explain("/v1/heads", controls.settings, "problem-heads", at("show-heads"));
  if (!told) return;
  const { answer, rows, bitmap } = told;
  const select = at("heads-name"), before = Math.min(Number(select.value) || 0, rows.length - 1);
  select.replaceChildren(...rows.map(({ name }, i) => new Option(name, i)));
  select.value = String(before);
  at("heads-name-box").hidden = rows.length < 2;
  const draw = () => showHeads(bitmap, answer, Number(select.value), (layer, head) => { controls.set({ layer, head }); heads(); });
  select.onchange = draw;
  draw();
}
at("show-heads").addEventListener("click", heads);

for (const [text, kind, suffix] of FILES) {
  const button = Object.assign(document.createElement("button"), { type: "button", id: `save-${kind}`, className: "quiet", textContent: text });
  button.hidden = kind === "instances"; // until things are told apart
  button.addEventListener("click", async () => {
    if (!controls) return start();
    const asked = photo; // another may be there when the file comes
    try {
      const answer = await ask("/v1/segment", asked, { names: chips.asked, settings: controls.settings, outputs: kind });
      save(await answer.blob(), asked.name.replace(/\.[^.]*$/, "") + suffix);
    } catch (problem) {
      tell(problem);
    }
  });
  at("downloads").append(button);
}
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const text = at(button.dataset.of);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch { // not allowed; over plain HTTP from another machine there is no clipboard at all
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

at("asking").addEventListener("submit", (event) => event.preventDefault());
at("opacity").addEventListener("input", (event) => {
  stage.opacity = Number(event.target.value);
  event.target.nextElementSibling.textContent = `${Math.round(stage.opacity * 100)}%`;
  stage.draw();
});
at("outlines").addEventListener("change", (event) => { stage.outlines = event.target.checked; stage.draw(); });

function theme(dark) {
  document.documentElement.classList.toggle("dark", dark);
  at("theme").textContent = dark ? "Light" : "Dark";
}
at("theme").addEventListener("click", () => theme(!document.documentElement.classList.contains("dark")));
theme(matchMedia("(prefers-color-scheme: dark)").matches);

let asking = null; // calls that want a key at once are served by one answer

onKeyNeeded((refused) => asking ||= new Promise((done) => {
  const box = at("key-box");
  at("problem-key").textContent = refused ? "That key is not one of this service's." : "";
  box.returnValue = "";
  box.onclose = () => {
    const given = box.returnValue === "use" && at("key").value.trim();
    if (given) sessionStorage.setItem("key", given);
    at("key").value = "";
    asking = null;
    done(Boolean(given));
  };
  box.showModal();
}));

// No header can hold other keys; a text that was cut short when it was copied ends with three dots in one letter.
at("key-form").addEventListener("submit", (event) => {
  const strange = at("key").value.trim().match(/[^\x21-\x7e]/u);
  if (!strange) return;
  event.preventDefault();
  at("problem-key").textContent = `A key has letters, digits and signs of ASCII alone, and this one holds "${strange[0]}"; copy it anew.`;
});

takePhotos(take, file, (text) => tell({ message: text }, "problem-photo"));

let starting = null; // one at a time

// Ask for the model; where that did not succeed, whatever needs it tries again. Then what was asked meanwhile is done.
function start() {
  return starting ||= begin().finally(() => { starting = null; });
}

async function begin() {
  try {
    at("model").textContent = "Loading the model";
    [[model], told] = [await get("/v1/models"), await get("/v1/settings")];
    controls = new Controls(told.settings, (done) => segment({ draft: !done }));
    at("reset").addEventListener("click", () => { if (at("heads").childElementCount) heads(); }); // another is read again
    at("model").textContent = `${model.name} on ${model.device}`;
    at("model").classList.add("ready");
    segment();
  } catch (problem) {
    at("model").textContent = "No model";
    tell(problem);
  }
}
start();

// What a person takes along: files, and the same call for the command line and for Python.

const quoted = (text) => (/^[\w./=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

const python = (value) => {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${python(each)}`).join(", ")}}`;
  return JSON.stringify(value);
};

// The preset that commands start from. A tuned.json that the service was started with is no file of whoever types them: its
// settings are told one by one.
export const presetOf = (told) => (told.presets.includes(told.preset) ? told.preset : "default");

// Settings that differ from the preset's: what the service was started with, and what was changed here. A step stands in
// its parts, which are all null where it is off.
export function differences(told, changed) {
  const off = new Set(told.settings.filter((row) => row.value === null).map((row) => row.name));
  const isStep = ({ value }) => value !== null && typeof value === "object" && !Array.isArray(value);
  const ofStepThatIsOff = ({ name }) => name.includes(".") && off.has(name.split(".")[0]);
  const replaced = ({ name }) => name === "heads" && ("layer" in changed || "head" in changed); // by one head
  const own = told.settings.filter((row) => !isStep(row) && !ofStepThatIsOff(row) && !replaced(row))
    .filter((row) => JSON.stringify(row.value) !== JSON.stringify(row.presets[presetOf(told)])).map((row) => [row.name, row.value]);
  return { ...Object.fromEntries(own), ...changed };
}

export function asShell(model, preset, photo, names, settings) {
  const lists = names.some(Array.isArray);
  const lines = names.map((name) => [name].flat().join(", "));
  const call = [`pnpovss segment ${quoted(photo)}`];
  call.push(lists ? "--names-file names.txt" : `--names ${quoted(lines.join(", "))}`);
  if (model !== "mini") call.push(`--model ${quoted(model)}`);
  if (preset !== "default") call.push(`--preset ${preset}`);
  for (const [name, value] of Object.entries(settings)) call.push(`--set ${quoted(`${name}=${value === null ? "none" : typeof value === "object" ? JSON.stringify(value) : value}`)}`);
  const before = lists ? `printf '%s\\n' ${lines.map(quoted).join(" ")} > names.txt\n` : "";
  return before + call.join(" \\\n  ");
}

export function asPython(model, preset, photo, names, settings) {
  const options = [JSON.stringify(model)];
  if (preset !== "default") options.push(`preset=${JSON.stringify(preset)}`);
  if (Object.keys(settings).length) options.push(`settings=${python(settings)}`);
  return [
    "from pnpovss import Segmenter",
    "",
    `segmenter = Segmenter.from_pretrained(${options.join(", ")})`,
    `result = segmenter(${JSON.stringify(photo)}, ${python(names)})`,
    `result.overlay(${JSON.stringify(photo)}).save("overlay.png")`,
  ].join("\n");
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

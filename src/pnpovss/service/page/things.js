// Things of one name told apart: borders between them, their numbers on the photo, and a row for each.

const SIZE = 15; // of a number [px of the screen]

// Labels and numbers as one map, in which neighbours differ wherever one thing ends.
export function apart({ width, height, values }, numbers) {
  return { width, height, values: Uint32Array.from(values, (label, i) => label && label + 256 * numbers.values[i]) };
}

// Each thing's number at its place, to be read on any photo; places are pixels of a photo of { width, height }.
export function drawNumbers(element, rows, { width, height }) {
  const context = element.getContext("2d"), scale = element.width / (element.clientWidth || element.width);
  context.font = `700 ${SIZE * scale}px system-ui, "DejaVu Sans", sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 4 * scale;
  context.strokeStyle = "#000d";
  context.fillStyle = "#fff";
  for (const { number, place: [column, row] } of rows) {
    const x = ((column + 0.5) / width) * element.width, y = ((row + 0.5) / height) * element.height;
    context.strokeText(number, x, y);
    context.fillText(number, x, y);
  }
}

const percent = (part) => (part < 0.005 ? "< 1%" : `${Math.round(part * 100)}%`);

// A row for each thing of a name. One that is pointed at or focused is drawn alone: `single` is given its number, or null.
export function listThings(name, rows, single) {
  const list = document.createElement("ol");
  list.className = "things";
  list.setAttribute("aria-label", `Things called ${name}`);
  list.append(...rows.map(({ number, score, share }) => {
    const item = document.createElement("li"), button = document.createElement("button"), told = document.createElement("b");
    button.type = "button";
    told.textContent = number;
    button.append(told, ` ${percent(score)} sure, ${percent(share)} of the photo`);
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => single(number));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => single(null));
    item.append(button);
    return item;
  }));
  return list;
}

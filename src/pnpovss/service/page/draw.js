// Arrays in, pixels out: maps in viridis, label maps in the names' colours, blanked patches.

const STOPS = [
  [68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140],
  [34, 168, 132], [66, 190, 113], [122, 209, 81], [189, 223, 38], [253, 231, 37],
];

// Viridis: 256 colours from dark blue to yellow.
export const VIRIDIS = Array.from({ length: 256 }, (_, i) => {
  const place = (i / 255) * (STOPS.length - 1), low = Math.min(Math.floor(place), STOPS.length - 2), part = place - low;
  return STOPS[low].map((value, channel) => Math.round(value + part * (STOPS[low + 1][channel] - value)));
});

export const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
export const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

export function canvas(width, height) {
  const made = document.createElement("canvas");
  made.width = width;
  made.height = height;
  return made;
}

const SHOWN = 1280; // longer side of what is drawn of a photo [px]

// A photo as it is drawn; of a large one, which takes hundreds of megabytes unpacked, nothing else is kept.
export async function readPhoto(blob) {
  const whole = await createImageBitmap(blob), scale = SHOWN / Math.max(whole.width, whole.height);
  if (scale >= 1) return onWhite(whole);
  const [resizeWidth, resizeHeight] = [whole.width, whole.height].map((side) => Math.max(1, Math.round(side * scale)));
  const shown = await createImageBitmap(whole, { resizeWidth, resizeHeight, resizeQuality: "high" });
  whole.close();
  return onWhite(shown);
}

// What is transparent is white, as the model sees it; nor would the next drawing cover this one there.
async function onWhite(bitmap) {
  const { width, height } = bitmap, laid = canvas(width, height), context = laid.getContext("2d", { alpha: false });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return createImageBitmap(laid);
}

async function readPixels(text) {
  const bitmap = await createImageBitmap(new Blob([bytes(text)], { type: "image/png" }));
  const { width, height } = bitmap, context = canvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, pixels: context.getImageData(0, 0, width, height).data };
}

// The values of a gray PNG in base64: { width, height, values }.
export async function readGray(text) {
  const { width, height, pixels } = await readPixels(text), values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = pixels[4 * i];
  return { width, height, values };
}

// The numbers of a PNG in base64 whose pixels hold them as red + 256 green, in the same form.
export async function readNumbers(text) {
  const { width, height, pixels } = await readPixels(text), values = new Uint16Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = pixels[4 * i] + 256 * pixels[4 * i + 1];
  return { width, height, values };
}

// A map of { top, values } on a grid, as a canvas of its size; `scale` is the greatest value of all that are compared.
export function heat(map, [rows, columns], scale = map.top) {
  const small = canvas(columns, rows), context = small.getContext("2d"), image = context.createImageData(columns, rows);
  const values = bytes(map.values), factor = scale > 0 ? map.top / scale : 0;
  for (let i = 0; i < values.length; i++) {
    const [red, green, blue] = VIRIDIS[Math.min(255, Math.round(values[i] * factor))];
    image.data.set([red, green, blue, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return small;
}

// A photo in gray under a map.
export function drawHeat(target, photo, map, grid, scale) {
  const context = target.getContext("2d"), { width, height } = target;
  context.filter = "grayscale(1)";
  context.drawImage(photo, 0, 0, width, height);
  context.filter = "none";
  if (!map || map.top <= 0) return;
  context.globalAlpha = 0.68;
  context.imageSmoothingQuality = "high";
  context.drawImage(heat(map, grid, scale), 0, 0, width, height);
  context.globalAlpha = 1;
}

// The patches that were blanked, hatched.
export function drawBlanked(target, kept, [rows, columns]) {
  const context = target.getContext("2d"), wide = target.width / columns, high = target.height / rows, seen = bytes(kept);
  for (let i = 0; i < seen.length; i++) {
    if (seen[i]) continue;
    const x = (i % columns) * wide, y = Math.floor(i / columns) * high;
    context.fillStyle = "#17181c";
    context.fillRect(x, y, wide + 0.5, high + 0.5);
    context.strokeStyle = "#ffffff55";
    context.beginPath();
    context.moveTo(x, y + high);
    context.lineTo(x + wide, y);
    context.stroke();
  }
}

// Which pixels of a label map lie on a border, as wide as the map asks for.
export function borders({ width, height, values }) {
  const reach = Math.max(1, Math.round(Math.min(width, height) / 300)), found = new Uint8Array(values.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x, label = values[i];
      if (!label) continue;
      const right = x + reach < width ? values[i + reach] : label, left = x >= reach ? values[i - reach] : label;
      const below = y + reach < height ? values[i + reach * width] : label, above = y >= reach ? values[i - reach * width] : label;
      if (right !== label || left !== label || below !== label || above !== label) found[i] = 1;
    }
  }
  return found;
}

// A layer of tints: colours by label (null is not drawn), opacity in [0, 1], outlines in a lighter shade; `only` tells of
// the i-th pixel whether it is drawn at all.
export function tints(labels, colours, opacity, edges, only = () => true) {
  const { width, height, values } = labels, layer = canvas(width, height), context = layer.getContext("2d");
  const image = context.createImageData(width, height), alpha = Math.round(opacity * 255);
  for (let i = 0; i < values.length; i++) {
    const colour = values[i] ? colours[values[i] - 1] : null;
    if (!colour || !only(i)) continue;
    const edge = edges && edges[i];
    for (let channel = 0; channel < 3; channel++) image.data[4 * i + channel] = edge ? (colour[channel] + 255) / 2 : colour[channel];
    image.data[4 * i + 3] = edge ? 255 : alpha;
  }
  context.putImageData(image, 0, 0);
  return layer;
}

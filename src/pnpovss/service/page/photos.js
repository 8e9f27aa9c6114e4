// Where a photo comes from: dropped, pasted, chosen, taken, or an example.

export const EXAMPLES = [
  { file: "cat.jpg", alt: "A cat", names: ["cat", ["sofa", "couch"]] },
  { file: "astronaut.jpg", alt: "An astronaut", names: ["woman", "flag", "rocket"] },
  { file: "coffee.jpg", alt: "A cup of coffee", names: ["cup", "spoon", "table"] },
];

const at = (id) => document.getElementById(id);

// `take` is given a Blob or the promise of one, its name, and the names to ask for where they are known; `fetched` gets the
// file at an address.
export function takePhotos(take, fetched, tell) {
  const files = (list) => {
    const file = [...(list || [])].find((each) => each.type.startsWith("image/") || /\.(heic|heif|avif|jxl)$/i.test(each.name));
    if (file) take(file, file.name || "photo");
    else if (list?.length) tell("that is no photo; give a JPEG, PNG, WebP or the like");
  };
  const hasFiles = (event) => event.dataTransfer.types.includes("Files");
  const takesText = (target) => ["text", "password"].includes(target.type);
  // Text is the fields'; beside them, a link that is dropped would take the page away.
  const pass = (event) => { if (!takesText(event.target)) event.preventDefault(); };
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return pass(event);
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return pass(event);
    event.preventDefault();
    document.body.classList.remove("over");
    files(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    const { files: pasted, types } = event.clipboardData;
    // Text that is copied from a document brings a picture of itself.
    if (pasted.length && !(takesText(event.target) && types.includes("text/plain"))) files(pasted);
  });
  for (const id of ["file", "shot"]) {
    at(id).addEventListener("change", () => { files(at(id).files); at(id).value = ""; });
  }
  at("choose").addEventListener("click", () => at("file").click());
  takeWithCamera(take);
  for (const each of EXAMPLES) at("examples").append(example(each, take, fetched));
}

function example({ file, alt, names }, take, fetched) {
  const button = document.createElement("button"), image = document.createElement("img"), text = document.createElement("span");
  button.type = "button";
  Object.assign(image, { src: `/page/examples/${file}`, alt, width: 152, height: 102 });
  text.textContent = names.map((name) => [name].flat()[0]).join(", ");
  button.append(image, text);
  button.addEventListener("click", () => take(fetched(image.src), file, names));
  return button;
}

function takeWithCamera(take) {
  const box = at("camera-box"), video = at("video");
  const stop = () => { video.srcObject?.getTracks().forEach((track) => track.stop()); video.srcObject = null; };
  at("camera").addEventListener("click", async () => {
    if (!navigator.mediaDevices?.getUserMedia) return at("shot").click();
    at("problem-camera").textContent = "";
    box.showModal();
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (!box.open) stop(); // closed while permission was asked for
    } catch (error) {
      at("problem-camera").textContent = `The camera cannot be used: ${error.message}`;
    }
  });
  box.addEventListener("close", stop);
  at("camera-close").addEventListener("click", () => box.close());
  at("snap").addEventListener("click", () => {
    if (!video.videoWidth) return;
    const shot = document.createElement("canvas");
    shot.width = video.videoWidth;
    shot.height = video.videoHeight;
    shot.getContext("2d").drawImage(video, 0, 0);
    shot.toBlob((blob) => { box.close(); take(blob, "photo.jpg"); }, "image/jpeg", 0.92);
  });
}

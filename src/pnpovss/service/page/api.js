// Calls of the service. A photo is sent once; then its id stands for it, for as long as the service remembers it.

const RETRIES = 4;

export class Problem extends Error {
  constructor(details, status) {
    super(details.detail || `the service answered ${status}`);
    this.field = details.field || null;
    this.status = status;
    this.kind = (details.type || "").split(":").pop();
  }
}

let askKey = async () => null;

// Whom to ask for a key, where the service needs one; told whether it refused one.
export function onKeyNeeded(ask) { askKey = ask; }

const wait = (seconds, signal) => new Promise((done, ended) => {
  const timer = setTimeout(done, seconds * 1000);
  signal?.addEventListener("abort", () => { clearTimeout(timer); ended(signal.reason); });
});

async function call(address, options = {}, tell = () => {}) {
  for (let tries = 0; ; tries++) {
    const key = sessionStorage.getItem("key");
    const headers = key ? { authorization: `Bearer ${key}` } : {};
    let answer;
    try {
      answer = await fetch(address, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({ detail: "the service does not answer; is it running?" }, 0);
    }
    if (answer.ok) return answer;
    const details = await answer.json().catch(() => ({}));
    const again = Number(answer.headers.get("retry-after"));
    const problem = new Problem(details, answer.status), loading = problem.kind === "loading"; // a model may take minutes
    if ((answer.status === 429 || answer.status === 503) && again && (loading || tries < RETRIES)) {
      tell(answer.status === 429 ? `Many are asking; trying again in ${again} s` : `${details.title}; trying again in ${again} s`);
      await wait(again, options.signal);
    } else if (answer.status === 401 && await askKey(Boolean(key))) {
      continue;
    } else {
      throw problem;
    }
  }
}

export const get = async (address) => (await call(address)).json();
export const file = async (address) => (await call(address)).blob();

// The photo of { blob, id, name }, asked with names, settings and other fields; answers with the Response.
export async function ask(address, photo, fields, { signal, tell } = {}) {
  const form = (withFile) => {
    const body = new FormData();
    if (withFile) body.append("photo", photo.blob, photo.name);
    else body.append("photo_id", photo.id);
    for (const [name, value] of Object.entries(fields)) body.append(name, typeof value === "string" ? value : JSON.stringify(value));
    return { method: "POST", body, signal };
  };
  let answer;
  try {
    answer = await call(address, form(!photo.id), tell);
  } catch (problem) {
    if (problem.kind !== "forgotten") throw problem;
    photo.id = null;
    answer = await call(address, form(true), tell);
  }
  photo.id ||= answer.headers.get("photo-id");
  return answer;
}

// How the page asks the server: the same routes that any client uses. Keeps the key of this tab, if there is one.
import { eventsOf, samplesOf, soundOf } from "./sound-stream.js";

let key = sessionStorage.getItem("duologue-key") ?? "";

export const currentKey = () => key;

export class ServerError extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body?.error?.code ?? null;
  }
}

function askKey() {
  const dialog = document.getElementById("ask-key");
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      key = document.getElementById("key-value").value.trim();
      sessionStorage.setItem("duologue-key", key);
      resolve(dialog.returnValue === "use" && key !== "");
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

export async function ask(path, { json, form, body: raw, type, method, signal } = {}) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  if (json) headers["content-type"] = "application/json";
  if (type) headers["content-type"] = type;
  const body = json ? JSON.stringify(json) : form ?? raw;
  let response;
  try {
    response = await fetch(path, { method: method ?? (body ? "POST" : "GET"), headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, { error: { message: "The server can't be reached. Is it still running?" } });
  }
  if (response.ok) return response;
  if (response.status === 401 && await askKey()) return ask(path, { json, form, body: raw, type, method, signal });
  throw new ServerError(response.status, await response.json().catch(() => null));
}

export const get = async (path) => (await ask(path)).json();

// Speech as Float32Array chunks, while it is made. `about` gets what the headers say, before the first chunk;
// `onwords`, where it is given, the words as they begin: { word, start, text_start, text_end }, and `onspoken` in the end
// all of them, each with its `end`.
export async function* speak(path, json, { signal, about, onwords, onspoken }) {
  const times = onwords && { stream_format: "sse", word_times: true };
  const response = await ask(path, { json: { ...json, response_format: "pcm", ...times }, signal });
  about(response.headers);
  if (!onwords) return yield* soundOf(response.body);
  for await (const event of eventsOf(response.body)) {
    if (event.type === "speech.audio.error") throw new ServerError(500, event);
    if (event.words) (event.type === "speech.audio.done" ? onspoken : onwords)(event.words);
    if (event.audio) yield samplesOf(event.audio);
  }
}

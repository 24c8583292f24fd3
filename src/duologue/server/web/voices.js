// The Voices tab: what can speak here, and how to add a voice with its owner's consent.
import { ask, get } from "./api.js";
import { status } from "./parts.js";
import { Performance } from "./performance.js";
import { LIMIT_SECONDS, Recorder } from "./recorder.js";
import { Wave } from "./wave.js";

// About ten seconds each, with most sounds of English in them.
const PASSAGES = [
  "The old clock in the hall struck seven, and nobody moved. Outside, three children were still chasing a yellow kite, although the wind had died down an hour ago.",
  "Would you pass me the blue jug, please? I thought I had put it beside the oven, but all I can find there is a measuring cup and half a loaf of bread.",
  "She wrote the address on a scrap of paper, checked it twice, and ran for the early train. Just as the doors began to close, somebody shouted her name.",
];
const $ = (id) => document.getElementById(id);
const files = { sample: null, consent: null };
const recorders = {};
let server, changed, preview = null, passage = 0;

export function start(about, onchange) {
  server = about;
  changed = onchange;
  $("consent-phrase").textContent = server.consent_phrase;
  for (const kind of Object.keys(files)) {
    recorders[kind] = new Recorder($(`${kind}-level`));
    $(`${kind}-file`).addEventListener("change", ({ target }) => have(kind, target.files[0]));
    document.querySelector(`[data-record=${kind}]`).addEventListener("click", ({ target }) => record(kind, target));
  }
  $("voice-suggest").addEventListener("click", suggest);
  $("voice-form").addEventListener("submit", (event) => { event.preventDefault(); create(); });
  list();
}

function have(kind, file) {
  files[kind] = file ?? null;
  status($(`${kind}-state`), file ? `${file.name}, ${Math.ceil(file.size / 1024)} kB` : "");
  if (file && kind === "sample") fillIn(file);
}

// Where the server can read speech, it proposes the sample's words; they stay its owner's to correct.
async function fillIn(file) {
  const hears = server.talk.some((part) => part.name === "Speech recognition" && part.ready);
  if (!hears || $("voice-text").value.trim()) return;
  const form = new FormData();
  form.set("file", file);
  try {
    const { text } = await (await ask("/v1/audio/transcriptions", { form })).json();
    if ($("voice-text").value.trim() || files.sample !== file) return;
    $("voice-text").value = text;
    status($("sample-state"), `${$("sample-state").textContent}. Are these its exact words?`);
  } catch { /* then its owner types them */ }
}

function suggest() {
  $("voice-text").value = PASSAGES[passage++ % PASSAGES.length];
  status($("sample-state"), files.sample ? "Record them, or choose a file that says them." : "Press Record and read them aloud.");
}

async function record(kind, button) {
  const recorder = recorders[kind];
  if (recorder.running) {
    clearInterval(recorder.clock);
    $(`${kind}-clock`).textContent = "";
    button.textContent = "Record again";
    return have(kind, await recorder.stop(`${kind}.webm`));
  }
  try {
    await recorder.start();
    button.textContent = "Finish";
    status($(`${kind}-state`), "Recording…");
    const began = performance.now();
    recorder.clock = setInterval(() => { // for the eyes alone: said aloud, it would be recorded
      const seconds = Math.floor((performance.now() - began) / 1_000);
      $(`${kind}-clock`).textContent = `${Math.min(seconds, LIMIT_SECONDS)} s`;
      if (seconds < LIMIT_SECONDS) return;
      clearInterval(recorder.clock);
      status($(`${kind}-state`), `${LIMIT_SECONDS} s are recorded, no more. Press Finish.`);
    }, 1_000);
  } catch (error) {
    status($(`${kind}-state`), error.message, "bad");
  }
}

async function create() {
  const missing = Object.keys(files).find((kind) => !files[kind]);
  if (missing) return status($("voice-status"), `The ${missing} recording is missing.`, "bad");
  status($("voice-status"), "Checking the recordings…");
  try {
    const consent = new FormData();
    consent.set("name", $("voice-name").value);
    consent.set("language", "en-US");
    consent.set("recording", files.consent);
    const given = await (await ask("/v1/audio/voice_consents", { form: consent })).json();
    const voice = new FormData();
    voice.set("name", $("voice-name").value);
    voice.set("audio_sample", files.sample);
    voice.set("ref_text", $("voice-text").value);
    voice.set("consent", given.id);
    const made = await (await ask("/v1/audio/voices", { form: voice })).json();
    status($("voice-status"), [`${made.name} can speak now.`, ...(made.warnings ?? [])].join(" "));
    await reload();
  } catch (error) {
    status($("voice-status"), error.message, "bad");
  }
}

async function reload() {
  server.voices = (await get("/v1/audio/voices")).data;
  list();
  changed();
}

function list() {
  $("voice-list").replaceChildren(...server.voices.map((voice) => {
    const item = document.createElement("li");
    item.append(part("span", "name", voice.name), part("span", "about", voice.description), part("small", "", voice.licence));
    item.append(button("Listen", `Listen to ${voice.name}`, () => listen(voice)));
    if (voice.cloned) item.append(button("Delete", `Delete ${voice.name}`, () => remove(voice)));
    return item;
  }));
}

function part(tag, className, textContent) {
  return Object.assign(document.createElement(tag), { className, textContent });
}

function button(text, label, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

async function listen(voice) {
  stop();
  preview = new Performance(new Wave(document.createElement("canvas")));
  try {
    await preview.open();
    await preview.add("/v1/audio/speech", { model: server.model, voice: voice.id, input: `Hello, this is ${voice.name}. Nice to meet you.` });
    await preview.finish();
  } catch (error) {
    if (error.name !== "AbortError") status($("voice-status"), error.message, "bad");
  }
}

export function stop() {
  preview?.stop();
  preview = null;
}

async function remove(voice) {
  if (!confirm(`Delete the voice ${voice.name}? This can't be undone.`)) return;
  try {
    await ask(`/v1/audio/voices/${encodeURIComponent(voice.id)}`, { method: "DELETE" });
    await reload();
  } catch (error) {
    status($("voice-status"), error.message, "bad");
  }
}

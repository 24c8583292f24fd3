// The Say tab.
import { ask } from "./api.js";
import { download, fileName, joined, wav } from "./files.js";
import { Performance, showFigures } from "./performance.js";
import { play } from "./player.js";
import { curl, python } from "./snippets.js";
import { status, voiceCards } from "./parts.js";
import { ReadAlong } from "./read-along.js";
import { cuesOf, vtt } from "./subtitles.js";
import { Wave } from "./wave.js";

const EXAMPLES = [
  "Hello! I was hoping you would type something.",
  "It's twenty past seven, and the kettle is already singing.",
  "Wait, really? Tell me everything, from the beginning.",
];
const $ = (id) => document.getElementById(`say-${id}`);
let server, wave, reading, current = null, last = null;
const history = [];

export function start(about) {
  server = about;
  wave = new Wave($("wave"));
  reading = new ReadAlong($("read"));
  for (const text of EXAMPLES) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: text.split(/[,!?]/)[0] + "…" });
    button.addEventListener("click", () => { $("text").value = text; count(); $("text").focus(); });
    $("examples").append(button);
  }
  refresh();
  $("text").addEventListener("input", count);
  $("text").maxLength = server.limits.max_characters;
  $("speed").addEventListener("input", () => { $("speed-value").textContent = `${$("speed").value}×`; });
  $("temperature").addEventListener("input", () => {
    $("temperature-value").textContent = +$("temperature").value ? $("temperature").value : "model's own";
  });
  $("form").addEventListener("submit", (event) => { event.preventDefault(); speakNow(); });
  $("stop").addEventListener("click", stop);
  $("again").addEventListener("click", () => replay(last));
  for (const button of document.querySelectorAll("[data-download]")) button.addEventListener("click", () => save(button.dataset.download));
  $("subtitles").addEventListener("click", () => {
    download(vtt(cuesOf(last.asked.input, last.words)), fileName(last.asked.input, "vtt"));
  });
  count();
}

export const refresh = () => voiceCards($("voices"), "say-voice", server.voices);

function count() {
  const letters = $("text").value.trim().length;
  $("count").textContent = letters ? `${letters} characters, about ${Math.max(1, Math.round(letters / 15))} s` : "";
}

function request() {
  const made = { model: server.model, input: $("text").value.trim(), voice: document.querySelector("[name=say-voice]:checked")?.value };
  if (+$("speed").value !== 1) made.speed = +$("speed").value;
  if (+$("temperature").value) made.temperature = +$("temperature").value;
  if ($("seed").value.trim()) made.seed = +$("seed").value;
  return made;
}

export async function speakNow() {
  const asked = request();
  if (!asked.input) { status($("status"), "Type something first.", "bad"); $("text").focus(); return; }
  stop();
  const mine = current = new Performance(wave);
  let words = [];
  busy(true, "Thinking about how to say it…");
  reading.show(asked.input);
  if (server.word_times) mine.onwords = (begun) => { if (current === mine) reading.add(begun); };
  mine.onspoken = (all) => { words = all; };
  mine.onplayed = (samples) => { if (current === mine) reading.seek(samples); };
  mine.onwait = (text) => { if (current === mine) status($("status"), text); };
  mine.onchunk = () => { status($("status"), "Speaking"); showFigures($("figures"), mine.figures()); };
  try {
    await mine.open();
    const headers = await mine.add("/v1/audio/speech", asked);
    remember({ asked: { ...asked, seed: +headers.get("x-seed") }, chunks: mine.chunks, words, figures: mine.figures() });
    showFigures($("figures"), mine.figures());
    await mine.finish();
    if (current === mine) { busy(false, ""); reading.rest(); }
  } catch (error) {
    if (current === mine) busy(false, error.name === "AbortError" ? "Stopped." : error.message, error.name === "AbortError" ? "" : "bad");
  }
}

export function stop() {
  current?.stop();
  current = null;
  busy(false, "");
}

function busy(on, text, kind) {
  $("stop").disabled = !on;
  status($("status"), text, kind);
}

function remember(entry) {
  last = entry;
  history.unshift(entry);
  history.length = Math.min(history.length, 12);
  const code = { ...entry.asked, response_format: "mp3" };
  $("curl").textContent = curl(code);
  $("python").textContent = python(code);
  $("result").hidden = false;
  $("subtitles").hidden = !entry.words.length;
  $("history-box").hidden = history.length < 2;
  $("history").replaceChildren(...history.slice(1).map(historyItem));
}

function historyItem(entry) {
  const item = document.createElement("li");
  const text = Object.assign(document.createElement("span"), { className: "text", textContent: entry.asked.input });
  const about = Object.assign(document.createElement("small"), { textContent: `${entry.asked.voice}, seed ${entry.asked.seed}` });
  item.append(text, about);
  for (const [word, act] of [["Play", replay], ["Compare", compare]]) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: word });
    button.setAttribute("aria-label", `${word}: ${entry.asked.input.slice(0, 60)}`);
    button.addEventListener("click", () => act(entry));
    item.append(button);
  }
  return item;
}

// The newest one and an earlier one, one after the other.
async function compare(entry) {
  const told = ({ asked }) => `${asked.voice}, seed ${asked.seed}`;
  if (await replay(last, `A, the newest: ${told(last)}`)) await replay(entry, `B: ${told(entry)}`);
}

// Returns whether it was heard to its end.
async function replay(entry, told = "Playing") {
  stop();
  const mine = current = { stop: () => mine.playback?.stop() };
  wave.clear();
  for (const chunk of entry.chunks) wave.add(chunk);
  reading.show(entry.asked.input);
  reading.add(entry.words);
  showFigures($("figures"), entry.figures);
  const playback = mine.playback = await play(joined(entry.chunks));
  if (current !== mine) { // pressed again before it began
    playback.stop();
    return false;
  }
  playback.addEventListener("progress", () => {
    if (current !== mine) return;
    wave.seek(playback.played);
    reading.seek(playback.played);
  });
  busy(true, told);
  await playback.finished;
  if (current !== mine) return false;
  busy(false, "");
  reading.rest();
  return true;
}

async function save(format) {
  const name = fileName(last.asked.input, format);
  if (format === "wav") return download(wav(last.chunks), name);
  status($("status"), `Making the ${format.toUpperCase()}…`);
  try {
    // The same seed speaks the same audio again, this time in the format asked for.
    const response = await ask("/v1/audio/speech", { json: { ...last.asked, response_format: format } });
    download(await response.blob(), name);
    status($("status"), "Saved.");
  } catch (error) {
    status($("status"), error.message, "bad");
  }
}

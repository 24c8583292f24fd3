// The Dialogue tab: lines by several voices, each spoken in one conversation, so that it hears the lines before it.
import { ask } from "./api.js";
import { download, wav } from "./files.js";
import { status, voiceOptions } from "./parts.js";
import { Performance, showFigures } from "./performance.js";
import { Wave } from "./wave.js";

const OPENING = [
  "Did you hear that? I think somebody is at the door.",
  "At this hour? It is probably the wind again.",
  "The wind doesn't usually knock three times.",
];
const $ = (id) => document.getElementById(id);
let server, wave, current = null, finished = null;

export function start(about) {
  server = about;
  wave = new Wave($("dialogue-wave"));
  OPENING.forEach((text, i) => addLine(text, i % 2));
  $("line-add").addEventListener("click", () => {
    addLine("", $("lines").children.length % 2).querySelector("input").focus();
  });
  $("dialogue-go").addEventListener("click", () => perform());
  $("dialogue-stop").addEventListener("click", stop);
  $("dialogue-save").addEventListener("click", () => download(wav(finished.chunks), "dialogue.wav"));
  $("lines-paste").addEventListener("click", () => $("script").showModal());
  $("script").addEventListener("close", () => { if ($("script").returnValue === "use") useScript($("script-text").value); });
}

export function refresh() {
  for (const select of $("lines").querySelectorAll("select")) voiceOptions(select, server.voices, select.value);
}

function addLine(text, voiceIndex) {
  const item = $("line").content.firstElementChild.cloneNode(true);
  const voice = server.voices[voiceIndex % server.voices.length];
  voiceOptions(item.querySelector("select"), server.voices, voice?.id);
  item.querySelector("input").value = text;
  item.querySelector("[data-act=remove]").addEventListener("click", () => item.remove());
  item.querySelector("[data-act=up]").addEventListener("click", () => {
    item.previousElementSibling?.before(item);
    item.querySelector("[data-act=up]").focus();
  });
  item.querySelector("[data-act=play]").addEventListener("click", () => perform(item));
  $("lines").append(item);
  return item;
}

function useScript(script) {
  const names = [];
  const lines = [];
  for (const row of script.split("\n")) {
    const match = row.match(/^\s*\[?([^:\]]{1,40})\]?\s*:?\s+(.+)$/);
    if (!match) continue;
    if (!names.includes(match[1])) names.push(match[1]);
    lines.push([match[2].trim(), names.indexOf(match[1])]);
  }
  if (!lines.length) return status($("dialogue-status"), "No lines like “A: hello” in there.", "bad");
  $("lines").replaceChildren();
  for (const [text, speaker] of lines) addLine(text, speaker);
}

const cast = (items) => [...new Set(items.map((item) => item.querySelector("select").value))];

// All lines one after the other, or `only` one of them by itself.
async function perform(only = null) {
  stop();
  const items = [...$("lines").children].filter((item) => item.querySelector("input").value.trim());
  if (!items.length) return status($("dialogue-status"), "Write a line first.", "bad");
  const mine = current = new Performance(wave);
  busy(true, "Getting into character…");
  mine.onwait = (text) => { if (current === mine) status($("dialogue-status"), text); };
  mine.onchunk = () => showFigures($("dialogue-figures"), mine.figures());
  let path = "/v1/audio/speech";
  let conversation = null;
  try {
    await mine.open();
    if ($("with-context").checked && !only) {
      conversation = await (await ask("/v1/conversations", { json: { voices: cast(items) }, signal: mine.abort.signal })).json();
      path = `/v1/conversations/${conversation.id}/say`;
    }
    for (const item of only ? [only] : items) await sayLine(mine, path, item);
    finished = mine;
    showFigures($("dialogue-figures"), mine.figures());
    await mine.finish();
    if (current === mine) busy(false, "");
  } catch (error) {
    if (current === mine) busy(false, error.name === "AbortError" ? "Stopped." : error.message, error.name === "AbortError" ? "" : "bad");
  } finally {
    for (const item of items) item.removeAttribute("aria-current");
    if (conversation) ask(`/v1/conversations/${conversation.id}`, { method: "DELETE" }).catch(() => {});
  }
}

async function sayLine(mine, path, item) {
  for (const other of $("lines").children) other.removeAttribute("aria-current");
  item.setAttribute("aria-current", "true");
  const voice = item.querySelector("select");
  status($("dialogue-status"), `${voice.selectedOptions[0]?.textContent ?? "Somebody"} speaks`);
  await mine.add(path, { model: server.model, input: item.querySelector("input").value.trim(), voice: voice.value });
}

export function stop() {
  current?.stop();
  current = null;
  busy(false, "");
}

function busy(on, text, kind) {
  $("dialogue-go").disabled = on;
  $("dialogue-stop").disabled = !on;
  $("dialogue-save").disabled = on || !finished;
  status($("dialogue-status"), text, kind);
}

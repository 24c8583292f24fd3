// The Dialogue tab: lines by several voices, each spoken in one conversation, so that it hears the lines before it.
import { ask } from "./api.js";
import { download, fileName, toInt16, wav, wavOf } from "./files.js";
import { status, voiceOptions } from "./parts.js";
import { Performance, showFigures } from "./performance.js";
import { reorderable } from "./reorder.js";
import { stems } from "./stems.js";
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
  new MutationObserver(number).observe($("lines"), { childList: true });
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
  item.querySelector("[data-act=remove]").addEventListener("click", () => remove(item));
  item.querySelector("[data-act=play]").addEventListener("click", () => perform(item));
  reorderable(item, (place) => {
    if (!$("dialogue-stop").disabled) return; // the status tells who speaks
    status($("dialogue-status"), place === null ? "It can't go further." : `Now it is line ${place}.`);
  });
  $("lines").append(item);
  return item;
}

// The focus goes on to the next line, or to what adds one.
function remove(item) {
  const next = item.nextElementSibling ?? item.previousElementSibling;
  item.remove();
  (next?.querySelector("[data-act=remove]") ?? $("line-add")).focus();
}

// What a screen reader says of each line has its number.
function number() {
  for (const [i, item] of [...$("lines").children].entries()) {
    for (const named of item.children) {
      named.dataset.name ??= named.getAttribute("aria-label");
      named.setAttribute("aria-label", `${named.dataset.name}, line ${i + 1}`);
    }
  }
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
  mine.onplayed = (samples) => { if (current === mine) follow(mine, samples); };
  mine.turns = [];
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
    offerStems(mine.turns);
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
  const voice = item.querySelector("select");
  const turn = { item, voice: voice.value, name: voice.selectedOptions[0]?.textContent ?? "Somebody", start: mine.samples };
  const before = mine.chunks.length;
  mine.turns.push(turn);
  await mine.add(path, { model: server.model, input: item.querySelector("input").value.trim(), voice: voice.value });
  turn.chunks = mine.chunks.slice(before);
}

// The line that sounds is marked; the next ones may be in the making already.
function follow(mine, played) {
  const heard = mine.turns.findLast(({ start }) => start < played);
  if (!heard || heard === mine.heard) return;
  mine.heard?.item.removeAttribute("aria-current");
  mine.heard = heard;
  heard.item.setAttribute("aria-current", "true");
  status($("dialogue-status"), `${heard.name} speaks`);
}

// One file a voice; with a single voice it would be the mix again.
function offerStems(turns) {
  const voices = new Set(turns.map(({ voice }) => voice));
  const names = new Map(turns.map(({ voice, name }) => [voice, name]));
  $("dialogue-stems").hidden = voices.size < 2;
  $("dialogue-stems").replaceChildren("One voice alone, as long as the whole: ", ...[...names].map(([, name], i) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${name} WAV` });
    button.addEventListener("click", () => {
      download(wavOf(toInt16(stems(turns)[i].samples)), fileName(`dialogue ${i + 1} ${name}`, "wav"));
    });
    return button;
  }));
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

// The Dialogue tab: lines by several voices, each spoken in one conversation, so that it hears the lines before it.
import { ask, speak } from "./api.js";
import * as dialogueLines from "./dialogue-lines.js";
import { lines, nameOf, voiceOf, wordsOf } from "./dialogue-lines.js";
import { keepTake, offer, saveMix, saveSubtitles, takeOf } from "./dialogue-takes.js";
import { RATE, wav } from "./files.js";
import { status } from "./parts.js";
import { Performance, showFigures } from "./performance.js";
import { Wave } from "./wave.js";

const $ = (id) => document.getElementById(id);
let server, wave, current = null;

export function start(about) {
  server = about;
  wave = new Wave($("dialogue-wave"));
  dialogueLines.start(server, { play: (item) => perform(item), change: offer, tell });
  $("dialogue-go").addEventListener("click", () => perform());
  $("dialogue-stop").addEventListener("click", stop);
  $("dialogue-save").addEventListener("click", save);
  $("dialogue-subtitles").addEventListener("click", saveSubtitles);
}

export const refresh = () => dialogueLines.refresh();

function tell(text, kind) {
  if ($("dialogue-stop").disabled) status($("dialogue-status"), text, kind); // else it tells who speaks
}

function save() {
  const missing = saveMix();
  if (missing.length) tell(`Saved. Not spoken yet, so not in it: line ${missing.join(", ")}. Perform speaks all, ▶ one line.`);
}

// All lines one after the other, or `only` one of them.
async function perform(only = null) {
  stop();
  if (only && !wordsOf(only)) return status($("dialogue-status"), "Write something into that line first.", "bad");
  const items = lines();
  if (!items.length) return status($("dialogue-status"), "Write a line first.", "bad");
  const mine = current = new Performance(wave);
  busy(true, "Getting into character…");
  mine.onwait = (text) => { if (current === mine) status($("dialogue-status"), text); };
  mine.onchunk = () => showFigures($("dialogue-figures"), mine.figures());
  mine.onplayed = (samples) => { if (current === mine) follow(mine, samples); };
  mine.turns = [];
  mine.path = "/v1/audio/speech";
  try {
    await mine.open();
    if ($("with-context").checked) await converse(mine, items);
    if (only && mine.conversation) await catchUp(mine, items.slice(0, items.indexOf(only)));
    for (const item of only ? [only] : items) await sayLine(mine, item);
    showFigures($("dialogue-figures"), mine.figures());
    await mine.finish();
    if (current === mine) busy(false, "");
  } catch (error) {
    if (current === mine) busy(false, error.name === "AbortError" ? "Stopped." : error.message, error.name === "AbortError" ? "" : "bad");
  } finally {
    mine.heard?.item.removeAttribute("aria-current");
    if (mine.conversation) ask(`/v1/conversations/${mine.conversation.id}`, { method: "DELETE" }).catch(() => {});
  }
}

// From here on lines are turns of one conversation.
async function converse(mine, items) {
  const voices = [...new Set(items.map(voiceOf))];
  mine.conversation = await (await ask("/v1/conversations", { json: { voices }, signal: mine.abort.signal })).json();
  mine.path = `/v1/conversations/${mine.conversation.id}/say`;
}

// The conversation hears the lines before one: their last takes, or, where there are none, they are spoken unheard.
async function catchUp(mine, before) {
  const path = `/v1/conversations/${mine.conversation.id}/hear`;
  for (const item of before) {
    status($("dialogue-status"), "Going through the lines before it…");
    const take = takeOf(item);
    if (!take) {
      await sayUnheard(mine, item);
      continue;
    }
    const form = new FormData();
    form.set("text", take.words);
    form.set("speaker", speakerOf(mine.conversation, take.voice));
    const samples = take.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (samples <= server.limits.max_heard_seconds * RATE) form.set("audio", wav(take.chunks), "line.wav"); // else words alone
    await ask(path, { form, signal: mine.abort.signal });
  }
}

async function sayUnheard(mine, item) {
  const asked = request(item), chunks = [];
  for await (const chunk of speak(mine.path, asked, { signal: mine.abort.signal, about: () => {} })) chunks.push(chunk);
  keepTake(item, { words: asked.input, voice: asked.voice, name: nameOf(item), chunks });
}

function speakerOf(conversation, voice) {
  const { name } = server.voices.find(({ id }) => id === voice);
  return Object.keys(conversation.voices).find((number) => conversation.voices[number] === name);
}

const request = (item) => ({ model: server.model, input: wordsOf(item), voice: voiceOf(item) });

async function sayLine(mine, item) {
  const asked = request(item), name = nameOf(item), before = mine.chunks.length; // it may be written on meanwhile
  mine.turns.push({ item, name, start: mine.samples });
  await mine.add(mine.path, asked);
  keepTake(item, { words: asked.input, voice: asked.voice, name, chunks: mine.chunks.slice(before) });
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

export function stop() {
  current?.stop();
  current = null;
  busy(false, "");
}

function busy(on, text, kind) {
  $("dialogue-go").disabled = on;
  $("dialogue-stop").disabled = !on;
  status($("dialogue-status"), text, kind);
}

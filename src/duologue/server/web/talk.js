// The Talk tab: hold the button (or Space) and speak, go hands-free and just speak, or type. Speaking again interrupts.
import { Answer } from "./answer.js";
import { Captions } from "./captions.js";
import { downloadText } from "./files.js";
import * as lab from "./lab.js";
import { Microphone } from "./microphone.js";
import { partsList, status, voiceOptions } from "./parts.js";
import { unlock } from "./player.js";
import { Realtime } from "./realtime.js";
import * as settings from "./settings.js";
import { NEEDS_HTTPS, plain, wordsFor } from "./talk-words.js";

const $ = (id) => document.getElementById(`talk-${id}`);
const RETRY_MS = [500, 1_500, 4_000];
const WARN_BEFORE = 60; // seconds before the server hangs up on a client that sends nothing
let server, captions, line = null, microphone = null, answer = null, held = false, muted = false, ended = 0, awake = null, idle = 0;

export function start(about) {
  server = about;
  const missing = server.talk.filter((part) => !part.ready);
  partsList($("parts"), server.talk);
  for (const id of ["room", "more"]) $(id).hidden = missing.length > 0;
  $("parts").hidden = missing.length === 0;
  $("missing").hidden = missing.length === 0;
  if (missing.length) {
    status($("status"), `Talking needs ${missing.map((part) => part.name.toLowerCase()).join(" and ")}, which this server doesn't have.`);
    return;
  }
  captions = new Captions($("captions"));
  listen();
  refresh();
  settings.start(leave);
  show("ready");
  if (!window.isSecureContext) status($("status"), NEEDS_HTTPS, "bad");
}

export function refresh() {
  if (captions) voiceOptions($("voice"), server.voices, $("voice").value);
}

function listen() {
  const button = $("hold");
  button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); press(); });
  button.addEventListener("pointerup", release);
  button.addEventListener("pointercancel", release);
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) press();
  });
  button.addEventListener("keyup", (event) => { if (event.key === " " || event.key === "Enter") release(); });
  $("free").addEventListener("change", leave);
  $("voice").addEventListener("change", forget);
  $("mute").addEventListener("click", mute);
  $("end").addEventListener("click", leave);
  $("forget").addEventListener("click", forget);
  $("form").addEventListener("submit", (event) => { event.preventDefault(); type(); });
  $("show-captions").addEventListener("click", toggleCaptions);
  $("show-lab").addEventListener("click", () => lab.toggle($("show-lab")));
  $("show-settings").addEventListener("click", settings.open);
  $("save").addEventListener("click", () => downloadText(captions.asText(), "conversation.txt"));
}

// Keys of the whole tab. Returns whether one was taken.
export function onKey(event, down) {
  if (!captions || document.querySelector("dialog[open]")) return false;
  if (event.key === " " && !event.target.closest("button, summary, a, input")) {
    if (isFree()) { if (down && !event.repeat && microphone) mute(); }
    else if (!down) release();
    else if (!event.repeat) press();
  } else if (!down) return false;
  else if (event.key.toLowerCase() === "s") toggleCaptions();
  else if ("ld".includes(event.key.toLowerCase())) lab.toggle($("show-lab"));
  else return false;
  event.preventDefault();
  return true;
}

const isFree = () => $("free").checked;
const state = () => $("hold").dataset.state;

function show(name) {
  const [label, help] = wordsFor(name, isFree());
  $("hold").dataset.state = name;
  $("hold").textContent = label;
  $("mute").disabled = !(isFree() && microphone);
  $("mute").setAttribute("aria-pressed", muted);
  $("end").disabled = !line;
  $("save").disabled = !captions.said.length;
  status($("status"), help);
}

// Between turns.
function rest() {
  if (microphone && isFree()) show(muted ? "muted" : "waiting");
  else show("ready");
}

function fail(error) {
  rest();
  status($("status"), plain(error), "bad");
}

function glow(level) {
  $("hold").style.setProperty("--level", level.toFixed(3));
}

function toggleCaptions() {
  $("captions").hidden = !$("captions").hidden;
  $("show-captions").setAttribute("aria-pressed", !$("captions").hidden);
}

// --- the line ----------------------------------------------------------------------------------------------------------

async function connect() {
  if (line?.isOpen) return;
  const fresh = line = new Realtime();
  const on = (type, act) => fresh.addEventListener(type, ({ detail }) => { if (line === fresh) act(detail); });
  fresh.addEventListener("any", ({ detail }) => {
    lab.note(detail.event, detail.sent);
    if (detail.sent) watchIdle();
  });
  on("input_audio_buffer.speech_started", () => { interrupt(); show("listening"); });
  on("input_audio_buffer.speech_stopped", () => { ended = performance.now(); show("thinking"); });
  on("conversation.item.input_audio_transcription.completed", ({ transcript }) => {
    captions.add("You", "user", transcript || "(nothing that I could make out)");
    if (!transcript && !answer) rest();
  });
  on("response.created", begin);
  on("response.output_item.added", ({ item }) => { if (answer) answer.item ??= item.id; });
  on("response.output_audio_transcript.delta", ({ delta }) => answer?.say(delta));
  on("response.output_audio.delta", sound);
  on("response.done", done);
  on("duologue.response_times", ({ response_id, times }) => {
    lab.turn(response_id, times);
    // Hands-free, the wait began when the speaker fell silent, which only the server knows.
    if (isFree() && times.first_audio_ms) chip(times.first_audio_ms);
  });
  on("conversation.item.retrieved", ({ item }) => {
    const entry = captions.said.find((one) => one.id === item.id);
    if (entry) captions.cut(entry, item.content[0]?.transcript ?? "");
  });
  fresh.addEventListener("closed", () => { if (line === fresh) broken(); });
  await fresh.open(settings.session(isFree(), $("voice").value));
  for (const { role, text } of captions.said) if (text) fresh.tell(role, text); // what was said before goes along
  on("error", ({ error }) => { if (!error.param?.includes("audio_end_ms")) fail(error); });
  awake = await navigator.wakeLock?.request("screen").catch(() => null);
}

function watchIdle() {
  clearTimeout(idle);
  const seconds = server.limits.realtime_idle_seconds;
  const look = () => {
    if (line && state() === "ready") status($("status"), "It hangs up after a minute more of silence. Say something to keep the line.");
    else if (line) idle = setTimeout(look, 1_000);
  };
  idle = setTimeout(look, 1_000 * Math.max(seconds / 2, seconds - WARN_BEFORE));
}

// The line broke, or the server ended it.
async function broken() {
  const refused = $("status").dataset.kind === "bad"; // the server said why
  const wasFree = isFree() && microphone;
  answer?.stop();
  answer = line = null;
  if (refused || !captions.said.length) {
    const why = $("status").textContent;
    await hangUp();
    show("ready");
    return refused ? status($("status"), why, "bad") : undefined;
  }
  show("reconnecting");
  for (const wait of RETRY_MS) {
    await new Promise((resolve) => { setTimeout(resolve, wait); });
    if (line || state() !== "reconnecting") return;
    try {
      await connect();
      if (!wasFree) await hangUp();
      return rest();
    } catch { line = null; }
  }
  await hangUp();
  fail(new Error("The server is gone. Your words are still here; press to try again."));
}

// --- its answer --------------------------------------------------------------------------------------------------------

function begin() {
  answer?.stop();
  const mine = answer = new Answer(captions, voiceName(), glow, () => {
    if (answer !== mine) return;
    answer = null;
    rest();
  });
}

function sound({ delta }) {
  if (!answer) return;
  if (["thinking", "waiting", "muted", "ready"].includes(state())) {
    show("speaking");
    if (!isFree()) chip(performance.now() - ended);
  }
  answer.sound(delta);
}

const voiceName = () => $("voice").selectedOptions[0]?.textContent ?? server.model;

function done({ response }) {
  lab.remembered(response.usage?.input_token_details.audio_tokens ?? 0);
  if (response.status === "failed") fail(response.status_details.error);
  answer?.end();
}

const chip = (ms) => { $("chip").textContent = `answered after ${(ms / 1000).toFixed(2)} s`; };

// The sound stops now; the conversation remembers only what was heard of it.
function interrupt() {
  const mine = answer;
  if (!mine) return;
  answer = null;
  const audio_end_ms = mine.stop();
  if (!mine.item) return line?.send("response.cancel");
  if (mine.entry) mine.entry.id = mine.item;
  line?.send("conversation.item.truncate", { item_id: mine.item, content_index: 0, audio_end_ms });
  line?.send("conversation.item.retrieve", { item_id: mine.item });
}

// --- your turn ---------------------------------------------------------------------------------------------------------

async function press() {
  if (isFree() && microphone) return leave();
  held = true;
  if (microphone) return;
  const mine = microphone = new Microphone();
  interrupt();
  try {
    await unlock();
    if (!line?.isOpen) show("connecting");
    await connect();
    line.send("input_audio_buffer.clear");
    await mine.open(settings.microphone(), (level) => { $("level").value = level; if (!answer) glow(level); }, (samples) => { if (!muted) line?.hear(samples); });
    if (isFree()) return rest();
    if (held) return show("listening");
    await hangUp(); // let go before it was open
    show("ready");
  } catch (error) {
    await hangUp();
    fail(error);
  }
}

async function release() {
  held = false;
  if (isFree() || !microphone || state() !== "listening") return;
  const seconds = await hangUp();
  if (seconds < 0.25) return show("ready");
  ended = performance.now();
  show("thinking");
  line.send("input_audio_buffer.commit");
  line.send("response.create");
}

function mute() {
  muted = !muted;
  $("level").value = 0;
  if (muted) line?.send("input_audio_buffer.clear");
  if (answer) $("mute").setAttribute("aria-pressed", muted);
  else rest();
}

async function type() {
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  interrupt();
  try {
    await unlock();
    if (!line?.isOpen) show("connecting");
    await connect();
    captions.add("You", "user", text);
    ended = performance.now();
    show("thinking");
    line.tell("user", text);
    line.send("response.create");
  } catch (error) {
    fail(error);
  }
}

// Let go of the microphone; how long it was open.
async function hangUp() {
  const mine = microphone;
  microphone = null;
  muted = false;
  $("level").value = 0;
  glow(0);
  return await mine?.close() ?? 0;
}

// End the conversation, or change how turns are taken; its words stay in sight.
async function leave() {
  interrupt();
  await hangUp();
  const old = line;
  line = null;
  old?.close();
  awake?.release();
  show("ready");
}

async function forget() {
  await leave();
  captions.clear();
  lab.clear();
  $("chip").textContent = "";
  show("ready");
}

export function stop() {
  if (!captions) return;
  if (isFree() && microphone) return void leave();
  interrupt();
  if (!microphone) show("ready");
}

// The Talk tab: hold the button (or Space) and speak, or go hands-free and just speak. Speaking again interrupts.
import { Microphone } from "./microphone.js";
import { status } from "./parts.js";
import { Playback, unlock } from "./player.js";
import { Realtime, samplesOf } from "./realtime.js";

const $ = (id) => document.getElementById(`talk-${id}`);
const BY_SENSE = { type: "semantic_vad", eagerness: "medium" };
let server, line = null, microphone = null, answer = null, held = false, ended = 0;

export function start(about) {
  server = about;
  const missing = server.talk.filter((part) => !part.ready);
  showParts();
  $("room").hidden = missing.length > 0;
  $("missing").hidden = missing.length === 0;
  if (missing.length) {
    status($("status"), `Talking needs ${missing.map((part) => part.name.toLowerCase()).join(" and ")}, which this server doesn't have.`);
    return;
  }
  const button = $("hold");
  button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); press(); });
  button.addEventListener("pointerup", release);
  button.addEventListener("pointercancel", release);
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) press();
  });
  button.addEventListener("keyup", (event) => { if (event.key === " " || event.key === "Enter") release(); });
  $("free").addEventListener("change", leave);
  $("forget").addEventListener("click", forget);
  show("ready");
}

function showParts() {
  $("parts").replaceChildren(...server.talk.map((part) => {
    const item = document.createElement("li");
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: part.name });
    const about = Object.assign(document.createElement("span"), { className: "about", textContent: part.about });
    const state = Object.assign(document.createElement("small"), { textContent: part.ready ? "ready" : "missing" });
    item.append(name, about, state);
    return item;
  }));
}

const WORDS = {
  ready: ["Hold to talk", "Hold the button, or Space on it, and speak."],
  listening: ["Listening…", "Let go when you are done."],
  thinking: ["Thinking…", "One moment."],
  speaking: ["Speaking", "Hold the button to interrupt."],
};
const FREE_WORDS = {
  ready: ["Start", "Press once; then just speak. Headphones keep it from hearing itself."],
  waiting: ["I'm all ears", "Speak whenever you like. Press to end."],
  listening: ["Listening…", "It answers when you have finished."],
  thinking: ["Thinking…", "One moment."],
  speaking: ["Speaking", "Speak to interrupt. An “mhm” won't."],
};
const isFree = () => $("free").checked;

function show(state) {
  const [label, help] = (isFree() ? FREE_WORDS : WORDS)[state];
  $("hold").dataset.state = state;
  $("hold").textContent = label;
  status($("status"), help);
}

// Between turns.
const rest = () => show(microphone && isFree() ? "waiting" : "ready");

function fail(error) {
  rest();
  status($("status"), error.message, "bad");
}

async function connect() {
  if (line?.isOpen) return;
  const detection = isFree() ? BY_SENSE : null;
  const fresh = line = new Realtime();
  const on = (type, act) => fresh.addEventListener(type, ({ detail }) => { if (line === fresh) act(detail); });
  on("input_audio_buffer.speech_started", () => { interrupt(); show("listening"); });
  on("input_audio_buffer.speech_stopped", () => { ended = performance.now(); show("thinking"); });
  on("conversation.item.input_audio_transcription.completed", ({ transcript }) => {
    say("You", transcript || "(nothing that I could make out)");
    if (!transcript && !answer) rest();
  });
  on("response.created", () => { answer = { playback: new Playback(), item: null, bubble: null }; follow(answer); });
  on("response.output_item.added", ({ item }) => { if (answer) answer.item = item.id; });
  on("response.output_audio_transcript.delta", ({ delta }) => {
    if (answer) answer.bubble = say(server.model, (answer.bubble?.textContent ?? "") + delta, answer.bubble);
  });
  on("response.output_audio.delta", sound);
  on("response.done", ({ response }) => {
    if (response.status === "failed") fail(new Error(response.status_details.error.message));
    if (answer) answer.playback.end();
  });
  on("duologue.response_times", ({ times }) => {
    // Hands-free, the wait began when the speaker fell silent, which only the server knows.
    if (isFree() && times.first_audio_ms) chip(times.first_audio_ms);
    $("times").textContent = Object.entries(times).map(([name, ms]) => `${name.replace("_ms", "").replaceAll("_", " ")} ${ms} ms`).join(" · ");
  });
  on("conversation.item.retrieved", ({ item }) => {
    const bubble = document.querySelector(`[data-item="${item.id}"]`);
    const remains = item.content[0]?.transcript;
    if (bubble) bubble.textContent = remains ? `${remains} —` : "—";
  });
  fresh.addEventListener("closed", () => { if (line === fresh) leave(); });
  await fresh.open({ audio: { input: { turn_detection: detection, transcription: {} } } });
  on("error", ({ error }) => { if (!error.param?.includes("audio_end_ms")) fail(new Error(error.message)); });
}

function sound({ delta }) {
  if (!answer) return;
  if (["thinking", "waiting"].includes($("hold").dataset.state)) {
    show("speaking");
    if (!isFree()) chip(performance.now() - ended);
  }
  const samples = samplesOf(delta);
  answer.pushed = (answer.pushed ?? 0) + samples.length;
  answer.playback.push(samples);
}

const chip = (ms) => { $("chip").textContent = `answered after ${(ms / 1000).toFixed(2)} s`; };

async function follow(mine) {
  await mine.playback.finished;
  if (answer !== mine) return;
  answer = null;
  rest();
}

// The sound stops now; the conversation remembers only what was heard of it.
function interrupt() {
  if (!answer) return;
  const { playback, item, bubble, pushed = 0 } = answer;
  answer = null;
  const audio_end_ms = Math.floor(Math.min(playback.played, pushed) / 24);
  playback.stop();
  if (!item) return line.send("response.cancel");
  if (bubble) bubble.dataset.item = item;
  line.send("conversation.item.truncate", { item_id: item, content_index: 0, audio_end_ms });
  line.send("conversation.item.retrieve", { item_id: item });
}

async function press() {
  if (isFree() && microphone) return leave();
  held = true;
  if (microphone) return;
  const mine = microphone = new Microphone();
  interrupt();
  try {
    await unlock();
    await connect();
    line.send("input_audio_buffer.clear");
    await mine.open((level) => { $("level").value = level; }, (samples) => line.hear(samples));
    if (isFree()) return show("waiting");
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
  if (isFree() || !microphone || $("hold").dataset.state !== "listening") return;
  const seconds = await hangUp();
  if (seconds < 0.25) { show("ready"); return; }
  ended = performance.now();
  show("thinking");
  line.send("input_audio_buffer.commit");
  line.send("response.create");
}

// Let go of the microphone; how long it was open.
async function hangUp() {
  const mine = microphone;
  microphone = null;
  $("level").value = 0;
  return await mine?.close() ?? 0;
}

// End hands-free talking, or change how turns are taken: the conversation starts over.
async function leave() {
  interrupt();
  await hangUp();
  const old = line;
  line = null;
  old?.close();
  show("ready");
}

async function forget() {
  await leave();
  $("captions").replaceChildren();
  $("times").textContent = $("chip").textContent = "";
}

function say(who, text, bubble = null) {
  if (!bubble) {
    const item = document.createElement("li");
    item.append(Object.assign(document.createElement("b"), { textContent: who }));
    bubble = document.createElement("span");
    item.append(bubble);
    $("captions").append(item);
  }
  bubble.textContent = text;
  bubble.scrollIntoView({ block: "nearest" });
  return bubble;
}

export function stop() {
  if (!server?.talk.every((part) => part.ready)) return;
  if (isFree() && microphone) return void leave();
  interrupt();
  if (!microphone) show("ready");
}

// The Talk tab: hold the button (or Space) and speak; let go and listen. Speaking again interrupts.
import { ask } from "./api.js";
import { Microphone } from "./microphone.js";
import { status } from "./parts.js";
import { Playback, unlock } from "./player.js";

const $ = (id) => document.getElementById(`talk-${id}`);
let server, conversation = null, microphone = null, answer = null, held = false, cutting = null;

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
  button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); listen(); });
  button.addEventListener("pointerup", respond);
  button.addEventListener("pointercancel", respond);
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) listen();
  });
  button.addEventListener("keyup", (event) => { if (event.key === " " || event.key === "Enter") respond(); });
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

function show(state) {
  $("hold").dataset.state = state;
  $("hold").textContent = WORDS[state][0];
  status($("status"), WORDS[state][1]);
}

async function listen() {
  held = true;
  if (microphone) return;
  microphone = new Microphone();
  cutting = interrupt(); // the sound stops now; the server may take its time over the memory
  try {
    await unlock();
    await microphone.open((level) => { $("level").value = level; });
    if (held) return show("listening");
    await microphone.close(); // let go before it was open
    microphone = null;
    show("ready");
  } catch (error) {
    microphone = null;
    show("ready");
    status($("status"), error.message, "bad");
  }
}

// Stop the sound, and let the conversation remember only what was heard of it.
async function interrupt() {
  if (!answer) return;
  const { playback, abort, bubble } = answer;
  answer = null;
  abort.abort();
  const heard_ms = Math.round(playback.played / 24);
  playback.stop();
  if (!conversation || !bubble) return;
  try {
    const cut = await (await ask(`/v1/conversations/${conversation}/cut`, { json: { heard_ms } })).json();
    bubble.textContent = cut.remains ? `${cut.remains} —` : "—";
  } catch { /* nothing of it had been spoken yet */ }
}

async function respond() {
  held = false;
  if (!microphone || $("hold").dataset.state !== "listening") return;
  const samples = await microphone.close();
  microphone = null;
  $("level").value = 0;
  if (samples.length < 6000) { show("ready"); return; }
  show("thinking");
  const mine = answer = { playback: new Playback(), abort: new AbortController(), bubble: null };
  try {
    await cutting;
    conversation ??= (await (await ask("/v1/conversations", { json: {} })).json()).id;
    await follow(mine, samples, performance.now());
    mine.playback.end();
    await mine.playback.finished;
    if (answer === mine) { answer = null; show("ready"); }
  } catch (error) {
    if (error.name === "AbortError") return;
    mine.playback.stop();
    if (answer === mine) answer = null;
    show("ready");
    status($("status"), error.message, "bad");
  }
}

async function follow(mine, samples, began) {
  const response = await ask(`/v1/conversations/${conversation}/reply`, { body: samples, type: "audio/pcm", signal: mine.abort.signal });
  for await (const event of events(response.body)) {
    if (event.type === "talk.heard") say("You", event.text || "(nothing that I could make out)");
    if (event.type === "talk.sentence") mine.bubble = say(server.model, `${mine.bubble?.textContent ?? ""} ${event.text}`.trim(), mine.bubble);
    if (event.type === "talk.audio") {
      if ($("hold").dataset.state === "thinking") {
        show("speaking");
        $("chip").textContent = `answered after ${((performance.now() - began) / 1000).toFixed(2)} s`;
      }
      mine.playback.push(samplesOf(event.audio));
    }
    if (event.type === "talk.done") $("times").textContent = Object.entries(event.times).map(([name, ms]) => `${name.replace("_ms", "").replaceAll("_", " ")} ${ms} ms`).join(" · ");
    if (event.type === "error") throw new Error(event.error.message);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    for (const part of parts) yield JSON.parse(part.slice("data: ".length));
  }
}

function samplesOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (sample) => sample / 32768);
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

async function forget() {
  await interrupt();
  if (conversation) await ask(`/v1/conversations/${conversation}`, { method: "DELETE" }).catch(() => {});
  conversation = null;
  $("captions").replaceChildren();
  $("times").textContent = $("chip").textContent = "";
  show("ready");
}

export function stop() {
  interrupt();
  if (server?.talk.every((part) => part.ready) && !microphone) show("ready");
}

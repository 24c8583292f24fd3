// The line of the Talk tab: made when it is needed, taken up again when it breaks, hung up.
import * as lab from "./lab.js";
import { status } from "./parts.js";
import { Realtime } from "./realtime.js";
import * as settings from "./settings.js";
import { begin, done, interrupt, sound } from "./talk-answer.js";
import { $, chip, fail, glow, isFree, rest, show, state, talk } from "./talk-state.js";

const RETRY_MS = [500, 1_500, 4_000];
const WARN_BEFORE = 60; // seconds before the server hangs up on a client that sends nothing
let awake = null, idle = 0;

export async function connect() {
  if (talk.line?.isOpen) return;
  const { captions } = talk;
  const fresh = talk.line = new Realtime();
  const on = (type, act) => fresh.addEventListener(type, ({ detail }) => { if (talk.line === fresh) act(detail); });
  fresh.addEventListener("any", ({ detail }) => {
    lab.note(detail.event, detail.sent);
    if (detail.sent) watchIdle();
  });
  on("input_audio_buffer.speech_started", () => { interrupt(); show("listening"); });
  on("input_audio_buffer.speech_stopped", () => { talk.ended = performance.now(); show("thinking"); });
  on("conversation.item.input_audio_transcription.completed", ({ transcript }) => {
    captions.add("You", "user", transcript || "(nothing that I could make out)");
    if (!transcript && !talk.answer) rest();
  });
  on("response.created", begin);
  on("response.output_item.added", ({ item }) => { if (talk.answer) talk.answer.item ??= item.id; });
  on("response.output_audio_transcript.delta", ({ delta }) => talk.answer?.say(delta));
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
  fresh.addEventListener("closed", () => { if (talk.line === fresh) broken(); });
  await fresh.open(settings.session(isFree(), $("voice").value));
  for (const { role, text } of captions.said) if (text) fresh.tell(role, text); // what was said before goes along
  on("error", ({ error }) => { if (!error.param?.includes("audio_end_ms")) fail(error); });
  awake = await navigator.wakeLock?.request("screen").catch(() => null);
}

function watchIdle() {
  clearTimeout(idle);
  const seconds = talk.server.limits.realtime_idle_seconds;
  const look = () => {
    if (talk.line && state() === "ready") status($("status"), "It hangs up after a minute more of silence. Say something to keep the line.");
    else if (talk.line) idle = setTimeout(look, 1_000);
  };
  idle = setTimeout(look, 1_000 * Math.max(seconds / 2, seconds - WARN_BEFORE));
}

// The line broke, or the server ended it.
async function broken() {
  const refused = $("status").dataset.kind === "bad"; // the server said why
  const wasFree = isFree() && talk.microphone;
  talk.answer?.stop();
  talk.answer = talk.line = null;
  if (refused || !talk.captions.said.length) {
    const why = $("status").textContent;
    await hangUp();
    show("ready");
    return refused ? status($("status"), why, "bad") : undefined;
  }
  show("reconnecting");
  for (const wait of RETRY_MS) {
    await new Promise((resolve) => { setTimeout(resolve, wait); });
    if (talk.line || state() !== "reconnecting") return;
    try {
      await connect();
      if (!wasFree) await hangUp();
      return rest();
    } catch { talk.line = null; }
  }
  await hangUp();
  fail(new Error("The server is gone. Your words are still here; press to try again."));
}

// Let go of the microphone; how long it was open.
export async function hangUp() {
  const mine = talk.microphone;
  talk.microphone = null;
  talk.muted = false;
  $("level").value = 0;
  glow(0);
  return await mine?.close() ?? 0;
}

// End the conversation, or change how turns are taken; its words stay in sight.
export async function leave() {
  interrupt();
  await hangUp();
  const old = talk.line;
  talk.line = null;
  old?.close();
  awake?.release();
  show("ready");
}

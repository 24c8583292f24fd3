// Your turn on the Talk tab: hold and speak, go hands-free, mute, or type.
import { Microphone } from "./microphone.js";
import { unlock } from "./player.js";
import * as settings from "./settings.js";
import { interrupt } from "./talk-answer.js";
import { connect, hangUp, leave } from "./talk-line.js";
import { $, fail, glow, isFree, rest, show, state, talk } from "./talk-state.js";
import { YOU } from "./talk-tape.js";

export async function press() {
  if (isFree() && talk.microphone) return leave();
  talk.held = true;
  if (talk.microphone) return;
  const mine = talk.microphone = new Microphone();
  interrupt();
  try {
    await unlock();
    if (!talk.line?.isOpen) show("connecting");
    await connect();
    talk.line.send("input_audio_buffer.clear");
    await mine.open(settings.microphone(), level, heard);
    if (isFree()) return rest();
    if (talk.held) return show("listening");
    await hangUp(); // let go before it was open
    show("ready");
  } catch (error) {
    await hangUp();
    fail(error);
  }
}

function level(loud) {
  $("level").value = loud;
  if (!talk.answer) glow(loud);
}

function heard(samples) {
  if (talk.muted) return;
  talk.line?.hear(samples);
  talk.tape?.add(YOU, samples);
}

export async function release() {
  talk.held = false;
  if (isFree() || !talk.microphone || state() !== "listening") return;
  const seconds = await hangUp();
  if (seconds < 0.25) return show("ready");
  talk.ended = performance.now();
  show("thinking");
  talk.line.send("input_audio_buffer.commit");
  talk.line.send("response.create");
}

export function mute() {
  talk.muted = !talk.muted;
  $("level").value = 0;
  if (talk.muted) talk.line?.send("input_audio_buffer.clear");
  if (talk.answer) $("mute").setAttribute("aria-pressed", talk.muted);
  else rest();
}

export async function type() {
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  interrupt();
  try {
    await unlock();
    if (!talk.line?.isOpen) show("connecting");
    await connect();
    talk.captions.add("You", "user", text);
    talk.ended = performance.now();
    show("thinking");
    talk.line.tell("user", text);
    talk.line.send("response.create");
  } catch (error) {
    fail(error);
  }
}

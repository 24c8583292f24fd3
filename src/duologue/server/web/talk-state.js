// What the parts of the Talk tab share: who is at work, and how the tab shows it. Knows no server.
import { status } from "./parts.js";
import { plain, wordsFor } from "./talk-words.js";

export const $ = (id) => document.getElementById(`talk-${id}`);

export const talk = {
  server: null,
  captions: null,
  line: null, // to the server, while there is one
  microphone: null, // while it is open
  answer: null, // while it is made or heard
  held: false, // the button is down
  muted: false,
  ended: 0, // when you fell silent
  tape: null, // while the sound is kept
};

export const isFree = () => $("free").checked;
export const state = () => $("hold").dataset.state;
export const voiceName = () => $("voice").selectedOptions[0]?.textContent ?? talk.server.model;

export function show(name) {
  const [label, help] = wordsFor(name, isFree());
  $("hold").dataset.state = name;
  $("hold").textContent = label;
  $("mute").disabled = !(isFree() && talk.microphone);
  $("mute").setAttribute("aria-pressed", talk.muted);
  $("end").disabled = !talk.line;
  $("save").disabled = !talk.captions.said.length;
  $("save-sound").disabled = !talk.tape || talk.tape.isEmpty;
  status($("status"), help);
}

// Between turns.
export function rest() {
  if (talk.microphone && isFree()) show(talk.muted ? "muted" : "waiting");
  else show("ready");
}

export function fail(error) {
  rest();
  status($("status"), plain(error), "bad");
}

export function glow(level) {
  $("hold").style.setProperty("--level", level.toFixed(3));
}

export const chip = (ms) => { $("chip").textContent = ms === null ? "" : `answered after ${(ms / 1000).toFixed(2)} s`; };

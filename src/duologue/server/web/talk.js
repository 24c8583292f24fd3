// The Talk tab: hold the button (or Space) and speak, go hands-free and just speak, or type. Speaking again interrupts.
import * as away from "./away.js";
import { Captions } from "./captions.js";
import { download, downloadText } from "./files.js";
import * as lab from "./lab.js";
import { partsList, status, voiceOptions } from "./parts.js";
import * as settings from "./settings.js";
import { interrupt } from "./talk-answer.js";
import { leave } from "./talk-line.js";
import { $, chip, isFree, show, state, talk } from "./talk-state.js";
import { Tape } from "./talk-tape.js";
import { mute, press, release, type } from "./talk-turn.js";
import { NEEDS_HTTPS } from "./talk-words.js";

const PAST = { listens: "listened", speaks: "spoke" };

export function start(about) {
  talk.server = about;
  const missing = about.talk.filter((part) => !part.ready);
  partsList($("parts"), about.talk);
  for (const id of ["room", "more"]) $(id).hidden = missing.length > 0;
  $("parts").hidden = missing.length === 0;
  $("missing").hidden = missing.length === 0;
  if (missing.length) {
    settings.start(false);
    status($("status"), `Talking needs ${missing.map((part) => part.name.toLowerCase()).join(" and ")}, which this server doesn't have.`);
    return;
  }
  talk.captions = new Captions($("captions"));
  listen();
  refresh();
  settings.start(true, leave, keepSound);
  away.watch(doing, () => { if (!isFree()) release(); }, (was) => {
    if (state() !== "reconnecting" && $("status").dataset.kind !== "bad") status($("status"), `While you were away it still ${PAST[was]}.`);
  });
  window.addEventListener("blur", () => { if (!isFree()) release(); }); // letting go of a key would go unseen
  show("ready");
  if (!window.isSecureContext) status($("status"), NEEDS_HTTPS, "bad");
}

export function refresh() {
  if (talk.captions) voiceOptions($("voice"), talk.server.voices, $("voice").value);
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
  $("save").addEventListener("click", () => downloadText(talk.captions.asText(), "conversation.txt"));
  $("save-sound").addEventListener("click", () => download(talk.tape.asWav(), "conversation.wav"));
}

// Keys of the whole tab. Returns whether one was taken.
export function onKey(event, down) {
  if (!talk.captions || document.querySelector("dialog[open]")) return false;
  if (event.key === " " && !event.target.closest("button, summary, a, input")) {
    if (isFree()) { if (down && !event.repeat && talk.microphone) mute(); }
    else if (!down) release();
    else if (!event.repeat) press();
  } else if (!down) return false;
  else if (event.key.toLowerCase() === "s") toggleCaptions();
  else if ("ld".includes(event.key.toLowerCase())) lab.toggle($("show-lab"));
  else return false;
  event.preventDefault();
  return true;
}

function toggleCaptions() {
  $("captions").hidden = !$("captions").hidden;
  $("show-captions").setAttribute("aria-pressed", !$("captions").hidden);
}

// What goes on, for whoever can't see the page.
function doing() {
  if (talk.microphone && !talk.muted) return "listens";
  return talk.answer ? "speaks" : "";
}

function keepSound(keep) {
  talk.tape = keep ? new Tape() : null;
  for (const id of ["save-sound", "keeping"]) $(id).hidden = !keep;
  $("save-sound").disabled = true;
}

async function forget() {
  await leave();
  talk.captions.clear();
  if (talk.tape) talk.tape = new Tape();
  lab.clear();
  chip(null);
  show("ready");
}

export function stop() {
  if (!talk.captions) return;
  if (isFree() && talk.microphone) return void leave();
  interrupt();
  if (!talk.microphone) show("ready");
}

// The Talk tab: hold the button (or Space) and speak, go hands-free and just speak, or type. Speaking again interrupts.
import { Captions } from "./captions.js";
import { downloadText } from "./files.js";
import * as lab from "./lab.js";
import { partsList, status, voiceOptions } from "./parts.js";
import * as settings from "./settings.js";
import { interrupt } from "./talk-answer.js";
import { leave } from "./talk-line.js";
import { $, chip, isFree, show, talk } from "./talk-state.js";
import { mute, press, release, type } from "./talk-turn.js";
import { NEEDS_HTTPS } from "./talk-words.js";

export function start(about) {
  talk.server = about;
  const missing = about.talk.filter((part) => !part.ready);
  partsList($("parts"), about.talk);
  for (const id of ["room", "more"]) $(id).hidden = missing.length > 0;
  $("parts").hidden = missing.length === 0;
  $("missing").hidden = missing.length === 0;
  if (missing.length) {
    status($("status"), `Talking needs ${missing.map((part) => part.name.toLowerCase()).join(" and ")}, which this server doesn't have.`);
    return;
  }
  talk.captions = new Captions($("captions"));
  listen();
  refresh();
  settings.start(leave);
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
  $("show-settings").addEventListener("click", settings.open);
  $("save").addEventListener("click", () => downloadText(talk.captions.asText(), "conversation.txt"));
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

async function forget() {
  await leave();
  talk.captions.clear();
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

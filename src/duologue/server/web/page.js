// The page: tabs, keys and the first question to the server. Each tab is a module of its own.
import { get } from "./api.js";
import * as dialogue from "./dialogue.js";
import * as say from "./say.js";
import * as talk from "./talk.js";
import * as voices from "./voices.js";

const NAMES = ["talk", "say", "dialogue", "voices"];
const tabs = NAMES.map((name) => document.getElementById(`tab-${name}`));
const alertBox = document.getElementById("alert");

function show(name, focus = false) {
  for (const [i, tab] of tabs.entries()) {
    const chosen = NAMES[i] === name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    document.getElementById(NAMES[i]).hidden = !chosen;
    if (chosen && focus) tab.focus();
  }
  if (location.hash !== `#${name}`) history.replaceState(null, "", `#${name}`);
}

function wanted(server) {
  const asked = location.hash.slice(1);
  if (NAMES.includes(asked)) return asked;
  return server?.talk.every((part) => part.ready) ? "talk" : "say";
}

function warn(text) {
  alertBox.textContent = text;
  alertBox.hidden = false;
}

function stopAll() {
  for (const tab of [talk, say, dialogue, voices]) tab.stop();
}

function typing(target) {
  return target.closest("textarea, select, input:not([type=radio], [type=checkbox], [type=range]), dialog") !== null;
}

function onKey(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !document.getElementById("say").hidden) {
    event.preventDefault();
    say.speakNow();
  } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) stopAll();
  else if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  else if (onTalk() && talk.onKey(event, true)) return;
  else if (event.key === "?") document.getElementById("keys").showModal();
  else if ("1234".includes(event.key) && event.target.type !== "radio") show(NAMES[event.key - 1], true);
}

const onTalk = () => !document.getElementById("talk").hidden;

function onTabKey(event) {
  const at = tabs.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: NAMES.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  show(NAMES[(to + NAMES.length) % NAMES.length], true);
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener("click", () => show(NAMES[i]));
  tab.addEventListener("keydown", onTabKey);
}
document.addEventListener("keydown", onKey);
document.addEventListener("keyup", (event) => { if (onTalk() && !typing(event.target)) talk.onKey(event, false); });
window.addEventListener("hashchange", () => show(wanted()));
document.getElementById("show-keys").addEventListener("click", () => document.getElementById("keys").showModal());
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  });
}

try {
  const server = await get("/v1/server");
  server.voices = (await get("/v1/audio/voices")).data;
  document.getElementById("about").textContent = [
    `${server.model}${server.licence && ` (${server.licence})`} on ${server.engine}, duologue ${server.version}.`,
    server.watermark ? "Its speech carries a watermark." : "Its speech carries no watermark.",
  ].join(" ");
  if (server.noise) warn("This model has random weights: it speaks noise, to try the server out.");
  talk.start(server);
  say.start(server);
  dialogue.start(server);
  voices.start(server, () => { say.refresh(); dialogue.refresh(); talk.refresh(); });
  show(wanted(server));
  document.body.dataset.ready = "true";
} catch (error) {
  show(wanted());
  warn(error.message);
}

// The lines of the Dialogue tab: written, pasted, moved, removed. Knows no sound.
import { voiceOptions } from "./parts.js";
import { reorderable } from "./reorder.js";

const OPENING = [
  "Did you hear that? I think somebody is at the door.",
  "At this hour? It is probably the wind again.",
  "The wind doesn't usually knock three times.",
];
const $ = (id) => document.getElementById(id);
let server, on;

// `on.play(item)` is asked for by a line's button, `on.change()` follows every change, `on.tell(text)` says something.
export function start(about, handlers) {
  server = about;
  on = handlers;
  new MutationObserver(number).observe($("lines"), { childList: true });
  $("lines").addEventListener("input", () => on.change());
  OPENING.forEach((text, i) => addLine(text, i % 2));
  $("line-add").addEventListener("click", () => {
    addLine("", $("lines").children.length % 2).querySelector("input").focus();
  });
  $("lines-paste").addEventListener("click", () => $("script").showModal());
  $("script").addEventListener("close", () => { if ($("script").returnValue === "use") useScript($("script-text").value); });
}

export function refresh() {
  for (const select of $("lines").querySelectorAll("select")) voiceOptions(select, server.voices, select.value);
  on.change(); // a line whose voice is gone has another one now
}

// Those with words, in order.
export const lines = () => [...$("lines").children].filter((item) => wordsOf(item));

export const wordsOf = (item) => item.querySelector("input").value.trim();
export const voiceOf = (item) => item.querySelector("select").value;
export const nameOf = (item) => item.querySelector("select").selectedOptions[0]?.textContent ?? "Somebody";
export const numberOf = (item) => [...$("lines").children].indexOf(item) + 1;

function addLine(text, voiceIndex) {
  const item = $("line").content.firstElementChild.cloneNode(true);
  const voice = server.voices[voiceIndex % server.voices.length];
  voiceOptions(item.querySelector("select"), server.voices, voice?.id);
  item.querySelector("input").value = text;
  item.querySelector("[data-act=remove]").addEventListener("click", () => remove(item));
  item.querySelector("[data-act=play]").addEventListener("click", () => on.play(item));
  reorderable(item, (place) => on.tell(place === null ? "It can't go further." : `Now it is line ${place}.`));
  $("lines").append(item);
  return item;
}

// The focus goes on to the next line, or to what adds one.
function remove(item) {
  const next = item.nextElementSibling ?? item.previousElementSibling;
  item.remove();
  (next?.querySelector("[data-act=remove]") ?? $("line-add")).focus();
}

// What a screen reader says of each line has its number.
function number() {
  for (const [i, item] of [...$("lines").children].entries()) {
    for (const named of item.children) {
      named.dataset.name ??= named.getAttribute("aria-label");
      named.setAttribute("aria-label", `${named.dataset.name}, line ${i + 1}`);
    }
  }
  on.change();
}

function useScript(script) {
  const names = [];
  const found = [];
  for (const row of script.split("\n")) {
    const match = row.match(/^\s*\[?([^:\]]{1,40})\]?\s*:?\s+(.+)$/);
    if (!match) continue;
    if (!names.includes(match[1])) names.push(match[1]);
    found.push([match[2].trim(), names.indexOf(match[1])]);
  }
  if (!found.length) return on.tell("No lines like “A: hello” in there.", "bad");
  $("lines").replaceChildren();
  for (const [text, speaker] of found) addLine(text, speaker);
}

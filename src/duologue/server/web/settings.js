// The settings. They live as long as the page does.
import * as trial from "./microphone-trial.js";
import { canChooseOutput, chooseOutput } from "./player.js";
import { status } from "./parts.js";

const $ = (id) => document.getElementById(`set-${id}`);
const DEVICES = [["microphone", "audioinput", "microphone"], ["output", "audiooutput", "loudspeaker"]];

// `talks`: the Talk tab works, and its settings with it. `onchange` is called when a conversation must begin anew with
// them, `onkeep` when its sound is to be kept or not.
export function start(talks, onchange, onkeep) {
  $("talk").hidden = !talks;
  $("sound").hidden = !canChooseOutput;
  document.getElementById("show-settings").hidden = !talks && !canChooseOutput;
  document.getElementById("show-settings").addEventListener("click", open);
  for (const id of ["eagerness", "instructions", "microphone", "headphones"]) $(id).addEventListener("change", onchange);
  $("large").addEventListener("change", () => document.getElementById("talk-captions").classList.toggle("large", $("large").checked));
  $("keep").addEventListener("change", () => onkeep($("keep").checked));
  $("output").addEventListener("change", setOutput);
  trial.start(document.getElementById("settings"), microphone, listDevices);
  for (const id of ["microphone", "headphones"]) $(id).addEventListener("change", trial.stop);
  navigator.mediaDevices?.addEventListener?.("devicechange", devicesChanged);
}

async function open() {
  await listDevices();
  document.getElementById("settings").showModal();
}

// Browsers tell the names of devices once the microphone was allowed; before that there is one entry without an id.
async function listDevices() {
  const all = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
  for (const [id, kind, word] of DEVICES) {
    const chosen = $(id).value;
    const found = all.filter((device) => device.kind === kind && device.deviceId && device.deviceId !== "default");
    const options = found.map(({ label, deviceId }, i) => new Option(label || `${word} ${i + 1}`, deviceId, false, deviceId === chosen));
    $(id).replaceChildren(new Option("the usual one", ""), ...options);
    if (id === "output") $("output-help").hidden = found.length > 0;
  }
}

async function setOutput() {
  try {
    await chooseOutput($("output").value);
    status($("output-state"), "");
  } catch {
    $("output").value = "";
    await chooseOutput("");
    status($("output-state"), "That loudspeaker can't be used now. Sound comes from the usual one; plug it in again and choose it anew.", "bad");
  }
}

// What was chosen may have been unplugged.
async function devicesChanged() {
  const chosen = $("output").value;
  await listDevices();
  if ($("output").value !== chosen) await setOutput();
}

export const microphone = () => ({ device: $("microphone").value, headphones: $("headphones").checked });

// For session.update.
export function session(free, voice) {
  const detection = free ? { type: "semantic_vad", eagerness: $("eagerness").value } : null;
  const made = { audio: { input: { turn_detection: detection, transcription: {} }, output: { voice } } };
  if ($("instructions").value.trim()) made.instructions = $("instructions").value.trim();
  return made;
}

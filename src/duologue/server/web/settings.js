// The settings of the Talk tab. They live as long as the page does.
const $ = (id) => document.getElementById(`set-${id}`);

export function start(onchange) {
  for (const id of ["eagerness", "instructions", "microphone", "headphones"]) $(id).addEventListener("change", onchange);
  $("large").addEventListener("change", () => document.getElementById("talk-captions").classList.toggle("large", $("large").checked));
}

export async function open() {
  const chosen = $("microphone").value;
  const devices = (await navigator.mediaDevices?.enumerateDevices?.() ?? []).filter(({ kind, deviceId }) => kind === "audioinput" && deviceId);
  $("microphone").replaceChildren(new Option("the usual one", ""), ...devices.map(({ label, deviceId }, i) => new Option(label || `microphone ${i + 1}`, deviceId, false, deviceId === chosen)));
  document.getElementById("settings").showModal();
}

export const microphone = () => ({ device: $("microphone").value, headphones: $("headphones").checked });

// For session.update.
export function session(free, voice) {
  const detection = free ? { type: "semantic_vad", eagerness: $("eagerness").value } : null;
  const made = { audio: { input: { turn_detection: detection, transcription: {} }, output: { voice } } };
  if ($("instructions").value.trim()) made.instructions = $("instructions").value.trim();
  return made;
}

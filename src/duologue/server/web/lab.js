// The lab: where the time of each answer went, what the voice remembers, what waits to be played, and the events.
const $ = (id) => document.getElementById(id);
const STAGES = [["words_ms", "words"], ["first_text_ms", "thought"], ["first_sentence_ms", "phrase"], ["first_audio_ms", "sound"]];
const KEPT_TURNS = 6, KEPT_EVENTS = 80;
const FRAME_SECONDS = 0.08;
const began = performance.now();
const events = [];

export function note(event, sent = false) {
  if (event.type === "input_audio_buffer.append" || event.type === "response.output_audio.delta") return;
  events.push(`${((performance.now() - began) / 1000).toFixed(2).padStart(8)} ${sent ? "→" : "←"} ${event.type}`);
  if (events.length > KEPT_EVENTS) events.shift();
  if (!$("lab").hidden) $("lab-events").textContent = events.join("\n");
}

export function toggle(button) {
  $("lab").hidden = !$("lab").hidden;
  button.setAttribute("aria-expanded", !$("lab").hidden);
  $("lab-events").textContent = events.join("\n");
  if (!$("lab").hidden) $("lab").scrollIntoView({ block: "nearest" });
}

// Of `most` seconds that the model can remember; when they are full, the oldest turns leave.
export function remembered(frames, most) {
  const seconds = frames * FRAME_SECONDS;
  $("lab-memory").textContent = `${seconds.toFixed(1)} of at most ${Math.round(most)} s of sound in its memory`;
  Object.assign($("lab-filled"), { max: most, value: seconds });
}

export function buffered(samples, dry) {
  $("lab-buffer").textContent = `${Math.max(0, samples / 24000).toFixed(1)} s of sound wait${dry ? `, ran dry ${dry} ×` : ""}`;
}

export function turn(id, times) {
  const list = $("lab-turns");
  const row = document.getElementById(id) ?? Object.assign(document.createElement("li"), { id });
  const whole = times.first_audio_ms ?? times.done_ms ?? 0;
  const bar = Object.assign(document.createElement("div"), { className: "bar" });
  const told = [];
  let before = 0;
  for (const [name, label] of STAGES) {
    if (times[name] === undefined) continue;
    const part = Object.assign(document.createElement("span"), { className: label });
    part.style.flexGrow = Math.max(0, times[name] - before);
    told.push(`${label} ${Math.max(0, times[name] - before)} ms`);
    bar.append(part);
    before = times[name];
  }
  const text = Object.assign(document.createElement("small"), { textContent: `${(whole / 1000).toFixed(2)} s: ${told.join(", ")}` });
  row.replaceChildren(bar, text);
  if (!row.isConnected) list.prepend(row);
  while (list.children.length > KEPT_TURNS) list.lastElementChild.remove();
}

export function clear() {
  $("lab-turns").replaceChildren();
  $("lab-memory").textContent = "nothing remembered yet";
  $("lab-filled").value = 0;
  $("lab-buffer").textContent = "no sound waits";
}

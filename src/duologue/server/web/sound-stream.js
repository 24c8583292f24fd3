// The body of an answer as sound, or as events that carry sound. Knows bytes, not requests.

// 16-bit samples as Float32Array chunks; a chunk of the network may end within a sample.
export async function* soundOf(body) {
  const reader = body.getReader();
  let odd = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const bytes = new Uint8Array(odd.length + value.length);
    bytes.set(odd);
    bytes.set(value, odd.length);
    const whole = bytes.length & ~1;
    odd = bytes.slice(whole);
    yield floats(new DataView(bytes.buffer, 0, whole));
  }
}

// Server-sent events of one `data:` line each, as objects.
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) if (event.startsWith("data: ")) yield JSON.parse(event.slice(6));
  }
}

export function samplesOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return floats(new DataView(bytes.buffer));
}

const floats = (view) => Float32Array.from({ length: view.byteLength / 2 }, (_, i) => view.getInt16(2 * i, true) / 32768);

// Samples as a WAV file, and a file as a download.
export const RATE = 24000;

export function joined(chunks) {
  const all = new Float32Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) { all.set(chunk, at); at += chunk.length; }
  return all;
}

export const toInt16 = (samples) => Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32768))));

export const wav = (chunks) => wavOf(toInt16(joined(chunks)));

// Int16 samples, those of several channels in turn.
export function wavOf(samples, channels = 1) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  const bytes = 2 * samples.length;
  text(0, "RIFF"); head.setUint32(4, 36 + bytes, true); text(8, "WAVEfmt ");
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, channels, true);
  head.setUint32(24, RATE, true); head.setUint32(28, 2 * channels * RATE, true); head.setUint16(32, 2 * channels, true);
  head.setUint16(34, 16, true); text(36, "data"); head.setUint32(40, bytes, true);
  return new Blob([head, samples], { type: "audio/wav" }); // every machine with a browser is little-endian, as WAV is
}

export function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const downloadText = (text, name) => download(new Blob([text], { type: "text/plain" }), name);

export function fileName(text, ending) {
  const words = text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40);
  return `${words || "speech"}.${ending}`;
}

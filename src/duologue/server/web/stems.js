// A dialogue taken apart: one track a voice, silent while others speak. Played together, the tracks are the mix.
import { joined } from "./files.js";

// `turns` are { voice, chunks } in order; returns { voice, samples } for each voice, all of one length.
export function stems(turns) {
  const whole = turns.map(({ chunks }) => joined(chunks));
  const length = whole.reduce((sum, samples) => sum + samples.length, 0);
  const tracks = new Map();
  let at = 0;
  turns.forEach(({ voice }, i) => {
    if (!tracks.has(voice)) tracks.set(voice, { voice, samples: new Float32Array(length) });
    tracks.get(voice).samples.set(whole[i], at);
    at += whole[i].length;
  });
  return [...tracks.values()];
}

// Its turn on the Talk tab: an answer begins, sounds, ends, or is interrupted.
import { Answer } from "./answer.js";
import * as lab from "./lab.js";
import { $, chip, fail, glow, isFree, rest, show, state, talk, voiceName } from "./talk-state.js";
import { IT } from "./talk-tape.js";

export function begin() {
  talk.answer?.stop();
  const onheard = (samples) => talk.tape?.add(IT, samples);
  const mine = talk.answer = new Answer(talk.captions, voiceName(), glow, onheard, () => {
    if (talk.answer !== mine) return;
    talk.answer = null;
    rest();
  });
}

export function sound({ delta }) {
  if (!talk.answer) return;
  if (["thinking", "waiting", "muted", "ready"].includes(state())) {
    show("speaking");
    if (!isFree()) chip(performance.now() - talk.ended);
  }
  talk.answer.sound(delta);
}

export function done({ response }) {
  lab.remembered(response.usage?.input_token_details.audio_tokens ?? 0, talk.server.limits.context_seconds);
  if (response.status === "failed") fail(response.status_details.error);
  talk.answer?.end();
}

// The sound stops now; the conversation remembers only what was heard of it.
export function interrupt() {
  const mine = talk.answer;
  if (!mine) return;
  talk.answer = null;
  const audio_end_ms = mine.stop();
  if (!mine.item) return talk.line?.send("response.cancel");
  if (mine.entry) mine.entry.id = mine.item;
  talk.line?.send("conversation.item.truncate", { item_id: mine.item, content_index: 0, audio_end_ms });
  talk.line?.send("conversation.item.retrieve", { item_id: mine.item });
}

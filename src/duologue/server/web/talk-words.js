// What the Talk tab says in each state: the button's name, and one line of help.
const HOLD = {
  ready: ["Hold to talk", "Hold the button, or Space, and speak."],
  connecting: ["Connecting…", "One moment."],
  listening: ["Listening…", "Let go when you are done."],
  thinking: ["Thinking…", "One moment."],
  speaking: ["Speaking", "Hold the button to interrupt."],
  reconnecting: ["Reconnecting…", "The line broke. It remembers what was said."],
};
const FREE = {
  ready: ["Start", "Press once; then just speak. Headphones keep it from hearing itself."],
  connecting: ["Connecting…", "Your browser may ask for the microphone."],
  waiting: ["I'm all ears", "Speak whenever you like."],
  listening: ["Listening…", "It answers when you have finished."],
  thinking: ["Thinking…", "One moment."],
  speaking: ["Speaking", "Speak to interrupt. An “mhm” won't."],
  muted: ["Muted", "It can't hear you. Space or Mute lets it."],
  reconnecting: HOLD.reconnecting,
};
export const wordsFor = (state, free) => (free ? FREE : HOLD)[state];

const BUSY = "Others are talking with it right now. Try again in a few seconds.";
const CODES = {
  server_overloaded: BUSY,
  rate_limit_exceeded: BUSY,
  session_limit_reached: BUSY,
  server_draining: "The server is shutting down.",
  session_idle: "It hung up after a long silence. Press to go on.",
  session_expired: "The conversation has reached its longest time. Press to start another.",
};
export const plain = (error) => CODES[error?.code] ?? error?.message ?? "Something went wrong.";

export const NEEDS_HTTPS = "Browsers give the microphone to https pages and to localhost only. Typing works here too.";

// The microphone tried out in Settings, before anybody is called: a meter, and what to do if nothing is heard.
import { Microphone } from "./microphone.js";
import { status } from "./parts.js";

const $ = (id) => document.getElementById(`set-trial${id}`);
const QUIET = 0.1, QUIET_SECONDS = 3; // of the meter: the root of the amplitude
let trial = null;

// `choice` tells the device and whether headphones are worn; `onallowed` is called once the microphone was given.
export function start(dialog, choice, onallowed) {
  $("").addEventListener("click", () => (trial ? stop() : begin(choice, onallowed)));
  dialog.addEventListener("close", stop);
}

async function begin(choice, onallowed) {
  const mine = trial = new Microphone();
  let loudest = 0, blocks = 0;
  $("").textContent = "Stop trying";
  status($("-state"), "Your browser may ask for it.");
  try {
    await mine.open(choice(), (level) => {
      $("-level").value = level;
      loudest = Math.max(loudest, level);
      blocks += 1;
      if (loudest > QUIET) status($("-state"), "It hears you.");
      else if (blocks * 0.08 > QUIET_SECONDS) status($("-state"), "Nothing is heard. Is it muted, or is another one meant?", "bad");
    }, () => {});
    if (trial !== mine) return await mine.close();
    status($("-state"), "Say something.");
    onallowed();
  } catch (error) {
    if (trial !== mine) return;
    await stop();
    status($("-state"), error.message, "bad");
  }
}

// Also when another device is chosen: the trial goes on by pressing again.
export async function stop() {
  const mine = trial;
  trial = null;
  $("").textContent = "Try it";
  $("-level").value = 0;
  status($("-state"), "");
  await mine?.close();
}

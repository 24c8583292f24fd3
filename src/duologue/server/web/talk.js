// The Talk tab: says which parts of a spoken conversation this server has, and which are missing.
import { status } from "./parts.js";

export function start(server) {
  const list = document.getElementById("talk-parts");
  list.replaceChildren(...server.talk.map((part) => {
    const item = document.createElement("li");
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: part.name });
    const about = Object.assign(document.createElement("span"), { className: "about", textContent: part.about });
    const state = Object.assign(document.createElement("small"), { textContent: part.ready ? "ready" : "missing" });
    item.append(name, about, state);
    return item;
  }));
  const missing = server.talk.filter((part) => !part.ready).map((part) => part.name.toLowerCase());
  status(
    document.getElementById("talk-status"),
    missing.length ? `Talking needs ${missing.join(" and ")}, which this server doesn't have.` : "",
  );
}

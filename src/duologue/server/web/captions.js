// What was said, as it is heard: words appear with their sound, and those that nobody heard stand aside.
export class Captions {
  constructor(list) {
    this.list = list;
    this.said = []; // { role, text } in order: what a new line is told after the old one broke
  }

  add(who, role, text) {
    const item = document.createElement("li");
    item.className = role;
    const name = Object.assign(document.createElement("b"), { textContent: who });
    const words = Object.assign(document.createElement("span"), { textContent: text });
    item.append(name, words);
    this.list.append(item);
    const entry = { role, text, words, item };
    this.said.push(entry);
    item.scrollIntoView({ block: "nearest" });
    return entry;
  }

  set(entry, text) {
    entry.text = entry.words.textContent = text;
    entry.item.scrollIntoView({ block: "nearest" });
  }

  // Interrupted: `heard` is what remains of it in everybody's memory.
  cut(entry, heard) {
    const rest = entry.text.slice(heard.length).trim();
    entry.text = heard;
    entry.words.textContent = heard ? `${heard} —` : "—";
    if (!rest) return;
    const unheard = Object.assign(document.createElement("i"), { className: "unheard" });
    unheard.append(Object.assign(document.createElement("small"), { className: "visually-hidden", textContent: "Not heard: " }), rest);
    entry.item.append(unheard);
  }

  clear() {
    this.said = [];
    this.list.replaceChildren();
  }

  asText() {
    return this.said.map(({ item, text }) => `${item.querySelector("b").textContent}: ${text}`).join("\n");
  }
}

// Small pieces that several tabs show.
export function status(element, text, kind = "") {
  element.textContent = text;
  element.dataset.kind = kind;
}

export function voiceCards(box, name, voices) {
  const chosen = box.querySelector(":checked")?.value ?? voices[0]?.id;
  box.replaceChildren(...voices.map((voice) => {
    const card = document.getElementById("card").content.cloneNode(true);
    const input = card.querySelector("input");
    Object.assign(input, { name, value: voice.id, checked: voice.id === chosen });
    card.querySelector(".name").textContent = voice.name;
    card.querySelector(".about").textContent = voice.description;
    return card;
  }));
}

export function voiceOptions(select, voices, chosen) {
  select.replaceChildren(...voices.map((voice) => new Option(voice.name, voice.id, false, voice.id === chosen)));
}

export function partsList(list, parts) {
  list.replaceChildren(...parts.map((part) => {
    const item = document.createElement("li");
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: part.name });
    const about = Object.assign(document.createElement("span"), { className: "about", textContent: part.about });
    const state = Object.assign(document.createElement("small"), { textContent: part.ready ? "ready" : "missing" });
    item.append(name, about, state);
    return item;
  }));
}

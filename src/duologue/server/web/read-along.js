// The text as it was written, its words marked while they sound. The times come from the model with the sound, so what
// has no time stays unmarked.
const RATE = 24000;

export class ReadAlong {
  constructor(box) {
    this.box = box;
    this.clear();
  }

  clear() {
    this.words = []; // { at, spans } in the order of speaking
    this.tokens = []; // { from, span }: `from` in characters as the server counts them, by code points
    this.now = -1;
    this.box.hidden = true;
    this.box.replaceChildren();
  }

  // Another text; nothing of it has been spoken.
  show(text) {
    this.clear();
    let characters = 0, end = 0;
    for (const { 0: token, index } of text.matchAll(/\S+/g)) {
      characters += [...text.slice(end, index)].length;
      const span = Object.assign(document.createElement("span"), { textContent: token });
      this.tokens.push({ from: characters, span });
      this.box.append(text.slice(end, index), span);
      characters += [...token].length;
      end = index + token.length;
    }
  }

  // Words whose times are known now. With the first of them the text appears.
  add(words) {
    for (const { start, text_start: from, text_end: to } of words) {
      if (from !== undefined) this.words.push({ at: start * RATE, spans: this.between(from, to) });
    }
    this.box.hidden = !this.words.length;
  }

  between(from, to) {
    let low = 0, high = this.tokens.length; // the first token that begins behind `from`
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.tokens[middle].from <= from) low = middle + 1; else high = middle;
    }
    const spans = [];
    for (let i = Math.max(0, low - 1); i < this.tokens.length && this.tokens[i].from < to; i++) spans.push(this.tokens[i].span);
    return spans;
  }

  // So many samples were played.
  seek(samples) {
    let now = this.now;
    while (now + 1 < this.words.length && this.words[now + 1].at <= samples) now += 1;
    if (now === this.now) return;
    for (let i = Math.max(0, this.now); i <= now; i++) for (const span of this.words[i].spans) span.className = "said";
    for (const span of this.words[now].spans) span.className = "now";
    this.now = now;
    this.follow(this.words[now].spans[0]);
  }

  // It was heard to its end: no word sounds any more.
  rest() {
    for (const span of this.box.querySelectorAll(".now")) span.className = "said";
  }

  // The word stays in sight, by moving the box and not the page.
  follow(span) {
    const top = span.offsetTop - this.box.offsetTop;
    if (top < this.box.scrollTop || top + 2 * span.offsetHeight > this.box.scrollTop + this.box.clientHeight) {
      this.box.scrollTop = top - span.offsetHeight;
    }
  }
}

// Items of a list in another order: by dragging a handle, by arrow keys on it, by Alt with an arrow key anywhere in the
// item, or by its buttons. Others move around the item, so that it keeps the focus and the pointer.
const EDGE = 60; // pixels from the window's edge within which dragging scrolls

// `told` gets the item's new place, from 1, or null if it can't go further that way.
export function reorderable(item, told) {
  const handle = item.querySelector("[data-act=drag]");
  for (const [act, way] of [["up", -1], ["down", 1]]) {
    item.querySelector(`[data-act=${act}]`).addEventListener("click", () => told(move(item, way)));
  }
  item.addEventListener("keydown", (event) => {
    const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const meant = event.altKey ? event.target.tagName !== "SELECT" : event.target === handle; // Alt opens a select
    if (!way || !meant) return;
    event.preventDefault();
    told(move(item, way));
  });
  handle.addEventListener("pointerdown", (event) => { if (event.button === 0) drag(item, handle, event, told); });
}

const place = (item) => [...item.parentElement.children].indexOf(item) + 1;

function move(item, way) {
  const other = way < 0 ? item.previousElementSibling : item.nextElementSibling;
  if (!other) return null;
  if (way < 0) item.after(other); else item.before(other);
  return place(item);
}

function drag(item, handle, down, told) {
  const order = [...item.parentElement.children];
  const stopping = new AbortController();
  const on = (target, type, act) => target.addEventListener(type, act, { signal: stopping.signal, capture: true });
  const end = () => {
    stopping.abort();
    item.classList.remove("dragged");
  };
  const undo = () => { // others move back around it
    end();
    const at = order.indexOf(item);
    item.before(...order.slice(0, at));
    item.after(...order.slice(at + 1));
  };
  handle.setPointerCapture(down.pointerId);
  item.classList.add("dragged");
  on(handle, "pointermove", ({ clientY }) => {
    if (clientY < EDGE) scrollBy(0, -EDGE / 4);
    if (clientY > innerHeight - EDGE) scrollBy(0, EDGE / 4);
    while (item.previousElementSibling && clientY < middle(item.previousElementSibling)) move(item, -1);
    while (item.nextElementSibling && clientY > middle(item.nextElementSibling)) move(item, 1);
  });
  on(handle, "pointerup", () => {
    end();
    if (place(item) !== order.indexOf(item) + 1) told(place(item));
  });
  on(handle, "pointercancel", undo);
  on(window, "keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    undo();
  });
}

function middle(item) {
  const { top, height } = item.getBoundingClientRect();
  return top + height / 2;
}

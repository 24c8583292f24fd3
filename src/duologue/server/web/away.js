// The page is hidden while somebody talks: the tab's name says so, and coming back it is told. Knows no line.
const NAME = document.title;

// `busy` tells what goes on ("listens", "speaks") or "" for nothing; `onhide` and `onreturn` are called then.
export function watch(busy, onhide, onreturn) {
  let was = "";
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      was = busy();
      if (!was) return;
      document.title = `● It still ${was} – ${NAME}`;
      onhide();
    } else if (was) {
      document.title = NAME;
      onreturn(was);
      was = "";
    }
  });
}

// The page is hidden while somebody talks: the tab's name says so, and coming back it is told. Knows no line.
const NAME = document.title;
const LOOK_MS = 500; // browsers make it a second and more in a hidden tab

// `busy` tells what goes on ("listens", "speaks") or "" for nothing; `onhide` is called once nobody sees the page, and
// `onreturn` with the last that went on meanwhile, if anything did.
export function watch(busy, onhide, onreturn) {
  let was = "", timer = 0;
  const look = () => {
    const now = busy();
    was = now || was;
    document.title = now ? `● It still ${now} – ${NAME}` : NAME;
  };
  document.addEventListener("visibilitychange", () => {
    clearInterval(timer);
    if (document.hidden) {
      onhide();
      was = "";
      look();
      timer = setInterval(look, LOOK_MS);
    } else {
      document.title = NAME;
      if (was) onreturn(was);
    }
  });
}

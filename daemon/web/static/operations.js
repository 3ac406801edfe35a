// The moving part of the page, drawn by the server each second; the rest is as it was loaded.
const PATIENCE_MS = 3000;
const moving = document.getElementById("moving"), beat = document.getElementById("beat");
let stream = null, late = 0;

function listen() {
  if (stream || document.hidden) return;
  stream = new EventSource("/operations/live");
  stream.onmessage = (event) => {
    const fresh = new DOMParser().parseFromString(event.data, "text/html");
    moving.replaceChildren(...fresh.body.children);
    clearTimeout(late);
    beat.textContent = "live";
    moving.dataset.beats = Number(moving.dataset.beats ?? 0) + 1;
  };
  // Each stream ends after a while and another begins; only what stays away is told.
  stream.onerror = () => {
    clearTimeout(late);
    if (stream?.readyState === EventSource.CLOSED) beat.textContent = "ended, load the page again";
    else late = setTimeout(() => { beat.textContent = "waiting for the daemon"; }, PATIENCE_MS);
  };
}

// A page that nobody looks at asks for nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { stream?.close(); stream = null; } else listen();
});
listen();

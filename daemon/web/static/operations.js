// The moving part of the page, drawn by the server each second; the rest is as it was loaded.
const moving = document.getElementById("moving"), beat = document.getElementById("beat");
let stream = null;

function listen() {
  if (stream || document.hidden) return;
  stream = new EventSource("/operations/live");
  stream.onmessage = (event) => {
    const fresh = new DOMParser().parseFromString(event.data, "text/html");
    moving.replaceChildren(...fresh.body.children);
    beat.textContent = "live";
    moving.dataset.beats = Number(moving.dataset.beats ?? 0) + 1;
  };
  stream.onerror = () => { beat.textContent = "waiting for the daemon"; };
}

// A page that nobody looks at asks for nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { stream?.close(); stream = null; } else listen();
});
listen();

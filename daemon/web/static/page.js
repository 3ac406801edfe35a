// What every page does once scripts run: nothing here is needed to use one.
document.documentElement.classList.add("js");

addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "k") {
    const box = document.getElementById("q");
    event.preventDefault();
    if (box) { box.focus(); box.select(); } else location.href = "/";
  }
});

for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => {
    if (!confirm(form.dataset.confirm)) event.preventDefault();
  });
}

export function say(text) {
  const status = document.getElementById("status");
  if (status && status.textContent !== text) status.textContent = text;
}

// A text that is there from the start is not read out; one that changes is.
const told = document.getElementById("told");
if (told) {
  setTimeout(() => say(told.textContent), 100);
  setTimeout(() => told.classList.remove("fresh"), 8000);
}

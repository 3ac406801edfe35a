// Results as one types: the server renders them, this only puts them in their place and keeps the reader's.
import { say } from "./page.js";
import { slide } from "./slider.js";

const PARTS = ["chips", "facets", "results"];
const WAIT_MS = 140, LATE_MS = 400, SETTLED_MS = 1200;
const form = document.getElementById("search");
let running = null, waiting = 0, pushedAt = 0;

// What was dropped belongs to the text that it was dropped of; the server would not believe it of another.
function address() {
  const stale = form.elements.drop_of?.dataset.text !== form.elements.q.value;
  const pairs = [...new FormData(form)].filter(([name, value]) => value && !(name === "sort" && value === "relevance")
    && !(stale && name.startsWith("drop")));
  const query = new URLSearchParams(pairs).toString();
  return query ? `/?${query}` : "/";
}

async function show(url, typing) {
  running?.abort();
  const mine = (running = new AbortController());
  const late = setTimeout(() => document.body.classList.add("late"), LATE_MS);
  try {
    const asked = url + (url.includes("?") ? "&" : "?") + "part=1" + (typing ? "&typing=1" : "");
    const reply = await fetch(asked, { signal: mine.signal, headers: { Accept: "text/html" } });
    if (new URL(reply.url).pathname === "/login") { location.reload(); return; } // the session has ended
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    if (mine.signal.aborted) return;
    if (reply.ok) place(fresh);
    else refuse(fresh.querySelector(".notice"));
  } catch (error) {
    if (error.name !== "AbortError") say("The search could not be reached; try again.");
  } finally {
    clearTimeout(late);
    if (running === mine) { running = null; document.body.classList.remove("late"); }
  }
}

// Too fast for the key, or a fault: what was found stays, the reason stands above it.
function refuse(notice) {
  const results = document.getElementById("results");
  results.querySelector(".refused")?.remove();
  if (!notice) return;
  notice.classList.add("refused");
  results.prepend(notice);
}

// The focus stays where it was: on the element of the same id.
function place(fresh) {
  const held = document.activeElement;
  const id = held?.id, at = held?.selectionStart, to = held?.selectionEnd;
  document.querySelector(".first")?.remove();
  for (const name of PARTS) {
    const before = document.getElementById(name), after = fresh.getElementById(name);
    if (before && after) before.replaceWith(after);
  }
  wire();
  if (id && document.activeElement?.id !== id) {
    const again = document.getElementById(id);
    again?.focus({ preventScroll: true });
    if (again?.setSelectionRange && typeof at === "number" && again.type !== "search") again.setSelectionRange(at, to);
  }
  say(document.getElementById("total")?.textContent.trim() ?? "");
}

function search(typing) {
  const url = address();
  if (url === location.pathname + location.search) return;
  const now = performance.now();
  // A pause in typing is a place to come back to; every letter is not.
  if (!typing || now - pushedAt > SETTLED_MS) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  pushedAt = now;
  document.title = (form.elements.q.value ? form.elements.q.value + " – " : "") + "pokedexd";
  show(url, typing);
}

function soon(typing) {
  clearTimeout(waiting);
  waiting = setTimeout(() => search(typing), WAIT_MS);
}

const phone = matchMedia("(max-width: 48rem)");
let opened = false;

function wire() {
  const narrow = document.getElementById("narrow");
  if (narrow && !narrow.dataset.wired) {
    narrow.dataset.wired = "1";
    narrow.open = !phone.matches || opened;
    narrow.addEventListener("toggle", () => { opened = narrow.open; });
  }
  slide(document.querySelector(".band"), () => soon(false));
  mend();
  count();
}

// What a hidden detail holds is fetched when it is opened.
function mend() {
  for (const why of document.querySelectorAll("details.why:not([data-wired])")) {
    why.dataset.wired = "1";
    why.addEventListener("toggle", async () => {
      const link = why.open && why.querySelector("p > a");
      if (!link || why.dataset.filled) return;
      why.dataset.filled = "1";
      const url = new URL(link.href);
      url.searchParams.set("part", "1");
      const fresh = new DOMParser().parseFromString(await (await fetch(url)).text(), "text/html");
      const inside = fresh.querySelector(".explained");
      if (inside) link.parentElement.replaceWith(inside);
    });
  }
}

function count() {
  const picked = document.querySelectorAll(".pick:checked").length;
  const bar = document.getElementById("picked");
  if (!bar) return;
  bar.hidden = picked === 0;
  document.getElementById("picked-count").textContent = `${picked} picked:`;
}

// Arrow keys move from hit to hit while one of them has the focus, or out of the search box.
function move(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const names = [...document.querySelectorAll(".hits h2 a")];
  const card = document.activeElement.closest(".card");
  if (!card && document.activeElement.id !== "q") return;
  if (document.activeElement.matches("input:not([type=checkbox]):not([type=search]), select")) return;
  const at = card ? names.findIndex((one) => card.contains(one)) : -1;
  const next = at + (event.key === "ArrowDown" ? 1 : -1);
  event.preventDefault();
  if (next < 0) form?.elements.q.focus();
  else names[next]?.focus();
}

if (form) {
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(waiting); search(false); });
  document.addEventListener("input", (event) => {
    if (event.target.form === form && event.target.type !== "checkbox" && event.target.tagName !== "SELECT") soon(true);
  });
  document.addEventListener("change", (event) => {
    if (event.target.form === form && (event.target.type === "checkbox" || event.target.tagName === "SELECT")) soon(false);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("#chips a, #facets a, .empty a.button");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const url = new URL(link.href);
    if (url.pathname !== "/") return;
    event.preventDefault();
    form.elements.q.value = url.searchParams.get("q") ?? "";
    history.pushState(null, "", url.pathname + url.search);
    show(url.pathname + url.search, false).then(() => {
      const target = url.hash && document.querySelector(url.hash);
      if (target) target.querySelector("input:checked, input[name]")?.focus();
      else if (document.activeElement === document.body) form.elements.q.focus();
    });
  });
  addEventListener("popstate", () => {
    form.elements.q.value = new URLSearchParams(location.search).get("q") ?? "";
    show(location.pathname + location.search, false);
  });
}
document.addEventListener("change", (event) => { if (event.target.matches(".pick")) count(); });
document.addEventListener("keydown", move);
wire();

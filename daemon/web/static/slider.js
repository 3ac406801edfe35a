// Two thumbs on a logarithmic line beside two numbers; the numbers are what the form sends.
// From 100, below which there is little to choose between, to 100 million.
const LEAST = 2, TOP = 8;

const at = (value) => ((Math.log10(Math.max(10 ** LEAST, value)) - LEAST) / (TOP - LEAST)) * 100;
const value = (at) => {
  const raw = 10 ** (LEAST + (at / 100) * (TOP - LEAST)), step = 10 ** Math.max(0, Math.floor(Math.log10(raw)) - 1);
  return Math.round(raw / step) * step;
};

function parse(text) {
  const found = /^([\d.]+)([kmb]?)$/i.exec(text.replace(/[,\s]/g, ""));
  return found ? Number(found[1]) * { "": 1, k: 1e3, m: 1e6, b: 1e9 }[found[2].toLowerCase()] : null;
}

export function written(number) {
  if (number >= 1e6) return `${number / 1e6}m`;
  return number >= 1e3 ? `${number / 1e3}k` : `${number}`;
}

export function slide(band, changed) {
  if (!band || band.dataset.wired) return;
  band.dataset.wired = "1";
  const slider = band.querySelector(".slider"), fill = slider.querySelector(".fill");
  const [low, high] = [slider.querySelector(".low"), slider.querySelector(".high")];
  const [from, to] = band.querySelectorAll(".pair input");

  function draw() {
    fill.setAttribute("x", low.value);
    fill.setAttribute("width", Math.max(0, high.value - low.value));
    low.setAttribute("aria-valuetext", from.value || "any");
    high.setAttribute("aria-valuetext", to.value || "any");
  }
  function read() {
    low.value = parse(from.value) === null ? 0 : at(parse(from.value));
    high.value = parse(to.value) === null ? 100 : at(parse(to.value));
    draw();
  }
  function moved(event) {
    if (Number(low.value) > Number(high.value)) event.target.value = event.target === low ? high.value : low.value;
    if (event.target === low) from.value = Number(low.value) > 0 ? written(value(low.value)) : "";
    else to.value = Number(high.value) < 100 ? written(value(high.value)) : "";
    draw();
  }
  for (const thumb of [low, high]) {
    thumb.addEventListener("input", moved);
    thumb.addEventListener("change", changed);
  }
  for (const box of [from, to]) box.addEventListener("input", read);
  read();
  slider.hidden = false;
}

// What the pages to learn by share: the strip of chapters, and sliders whose figures follow without a new page.
import { refigure } from "/console/static/charts.js";

document.querySelector(".chapters [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

const PAUSE = 120; // milliseconds after the last movement until the server is asked
const form = document.querySelector("[data-sliders]");
if (form) follow(form);

function follow(form) {
  const status = form.appendChild(Object.assign(document.createElement("p"), { className: "small soft", role: "status" }));
  for (const field of form.querySelectorAll("input[type=number]")) addSlider(field);
  let waiting = 0;
  let asked = null;
  async function ask() {
    asked?.abort();
    const mine = (asked = new AbortController());
    const address = `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`;
    const area = document.querySelector("[data-figures]");
    area.setAttribute("data-busy", "");
    try {
      const answer = await fetch(address, { signal: mine.signal });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const made = page.querySelector("[data-figures]");
      if (!answer.ok || made === null) throw new Error(answer.redirected ? "your session has ended: load the page again" : `the server answers ${answer.status}`);
      refigure(area, made);
      for (const help of form.querySelectorAll("small[id]")) help.textContent = page.getElementById(help.id)?.textContent ?? "";
      history.replaceState(null, "", address);
      status.textContent = "The figures are those of the sliders.";
      area.removeAttribute("data-busy");
    } catch (error) {
      if (mine.signal.aborted) return;
      status.textContent = `The figures are those of before: ${error.message}.`;
    }
  }
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, PAUSE);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    ask();
  });
}

/** A range beside a number; over two powers of ten or more it is logarithmic. */
function addSlider(field) {
  const least = Number(field.min);
  const most = Number(field.max);
  const unit = Number(field.dataset.unit);
  const log = least > 0 && most / least >= 100;
  const toValue = (part) => (log ? least * (most / least) ** part : least + (most - least) * part);
  const toPart = (value) => (log ? Math.log(value / least) / Math.log(most / least) : (value - least) / (most - least));
  const range = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 200, step: 1 });
  range.setAttribute("aria-label", field.labels[0].textContent);
  const tell = () => {
    const value = Math.min(most, Math.max(least, Number(field.value) || least));
    range.value = Math.round(200 * toPart(value));
    range.setAttribute("aria-valuetext", field.value);
  };
  tell();
  const row = Object.assign(document.createElement("div"), { className: "slid" });
  field.replaceWith(row);
  row.append(range, field);
  range.addEventListener("input", () => {
    const value = toValue(range.value / 200);
    const rounded = unit >= 1 ? Math.round(value / unit) * unit : Number(value.toPrecision(2));
    field.value = Math.min(most, Math.max(least, rounded));
    range.setAttribute("aria-valuetext", field.value);
  });
  field.addEventListener("input", tell);
}

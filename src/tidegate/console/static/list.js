// The list of endpoints: its filter and order are in the address, and the table follows them as they are typed.
import { follow } from "./live.js";

const form = document.querySelector("#list-filter");
const text = form.querySelector("#q");
const state = form.querySelector("#state");
const WAIT = 250; // milliseconds after a key until the server is asked
const TYPING = 2000; // milliseconds within which further keys do not make further steps of the back button
let sort = new URLSearchParams(location.search).get("sort") ?? "";
let waiting = 0;
let typed = 0;

/** The query as the form has it; the first page. */
function query() {
  const found = new URLSearchParams();
  for (const [name, value] of [["q", text.value.trim()], ["state", state.value], ["sort", sort]]) if (value) found.set(name, value);
  return found.toString();
}

function show(search) {
  follow(`/console/live${search}`);
}

function go(search, replaces = false) {
  clearTimeout(waiting);
  if (search === location.search) return;
  history[replaces ? "replaceState" : "pushState"](null, "", `/console${search}`);
  show(search);
}

function goByForm(replaces = false) {
  const found = query();
  form.querySelector("button").value = sort;
  go(found && `?${found}`, replaces);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = event.submitter?.value ?? sort;
  sort = asked === "need" ? "" : asked;
  goByForm();
});
text.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    goByForm(Date.now() - typed < TYPING);
    typed = Date.now();
  }, WAIT);
});
state.addEventListener("change", () => goByForm());

/** The form, as the address has it. */
function read() {
  clearTimeout(waiting);
  const now = new URLSearchParams(location.search);
  [text.value, state.value, sort] = [now.get("q") ?? "", now.get("state") ?? "", now.get("sort") ?? ""];
  form.querySelector("button").value = sort;
}
addEventListener("popstate", () => {
  read();
  show(location.search);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest('a[data-follow-list], a[href="/console?state=attention"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.search);
  read();
  text.focus();
});

const rows = () => [...document.querySelectorAll('.listing tbody th[scope="row"] a')];
const STEPS = { ArrowDown: 1, ArrowUp: -1 };
document.addEventListener("keydown", (event) => {
  const at = document.activeElement;
  const typing = at.matches("input, select, textarea, [contenteditable]") || document.querySelector("dialog[open]");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    text.focus();
    text.select();
  } else if (event.key in STEPS && (at === text || rows().includes(at))) {
    const links = rows();
    const place = links.indexOf(at) + STEPS[event.key];
    event.preventDefault();
    if (place < 0) text.focus();
    else links[Math.min(place, links.length - 1)]?.focus();
  } else if ((event.key === "Home" || event.key === "End") && rows().includes(at)) {
    event.preventDefault();
    rows().at(event.key === "Home" ? 0 : -1)?.focus();
  }
});

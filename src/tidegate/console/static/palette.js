// The command palette: Ctrl+K or Cmd+K, a few letters, Enter. What there is to go to is the server's to say.
import { Refused, ask } from "./session.js";

const WAIT = 120; // milliseconds after a key until the server is asked
const opener = document.querySelector("[data-palette-open]");
const dialog = document.querySelector("[data-palette]");
const input = dialog.querySelector("input");
const list = dialog.querySelector("[role=listbox]");
const status = dialog.querySelector("[role=status]");
let chosen = 0;
let asked = 0;
let waiting = 0;

opener.hidden = false;
opener.addEventListener("click", open);

function open() {
  if (document.querySelector("dialog[open]")) return; // what is about to be confirmed goes first
  input.value = "";
  dialog.showModal();
  read();
}

async function read() {
  const mine = ++asked;
  try {
    const { entries } = await ask(`/console/palette?${new URLSearchParams({ q: input.value.trim() })}`);
    if (mine !== asked) return;
    list.replaceChildren(...entries.map(option));
    choose(0);
    status.textContent = entries.length ? `${entries.length} shown` : "Nothing has that.";
  } catch (error) {
    if (mine !== asked) return;
    list.replaceChildren();
    choose(0);
    status.textContent = error instanceof Refused ? error.message : "The server does not answer.";
  }
}

function option(entry, place) {
  const made = document.createElement("li");
  made.id = `palette-${place}`;
  made.setAttribute("role", "option");
  made.dataset.href = entry.href;
  const about = document.createElement("span");
  about.className = "small soft";
  about.textContent = entry.about;
  made.append(entry.title, " ", about);
  return made;
}

function choose(place) {
  const options = [...list.children];
  chosen = options.length ? (place + options.length) % options.length : 0;
  for (const [at, one] of options.entries()) one.setAttribute("aria-selected", String(at === chosen));
  if (options.length) input.setAttribute("aria-activedescendant", options[chosen].id);
  else input.removeAttribute("aria-activedescendant");
  input.setAttribute("aria-expanded", String(options.length > 0));
  options[chosen]?.scrollIntoView({ block: "nearest" });
}

function go(one) {
  if (!one) return;
  const target = new URL(one.dataset.href, location.href);
  dialog.close();
  // On the same page an address with another fragment loads nothing.
  if (target.pathname === location.pathname && target.hash) {
    location.hash = "";
    location.hash = target.hash;
  } else location.assign(target);
}

input.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    waiting = 0;
    read();
  }, WAIT);
});
input.addEventListener("keydown", async (event) => {
  const steps = { ArrowDown: 1, ArrowUp: -1 };
  if (event.key in steps) {
    event.preventDefault();
    choose(chosen + steps[event.key]);
  } else if (event.key === "Enter" && !event.isComposing) {
    event.preventDefault();
    if (waiting) {
      clearTimeout(waiting); // what is shown is of fewer letters
      waiting = 0;
      await read();
    }
    go(list.children[chosen]);
  }
});
list.addEventListener("click", (event) => go(event.target.closest("li")));
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
  event.preventDefault();
  if (dialog.open) dialog.close();
  else open();
});

// Users, API tokens and sessions: each change is confirmed in a dialog, and made by the native API.
import { Refused, ask, explain } from "./session.js";

const dialog = document.querySelector("[data-dialog]");
const find = (what) => dialog.querySelector(`[data-${what}]`);
const confirm = find("confirm");
const KEPT = "tidegate-done";
const OPTIONAL = ["reason"];
let chosen = null;
let sending = false;

const done = document.querySelector("[data-done]");
const told = sessionStorage.getItem(KEPT);
sessionStorage.removeItem(KEPT);
if (told) [done.textContent, done.hidden] = [told, false];

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-change]");
  if (!button) return;
  chosen = { ...button.dataset, body: JSON.parse(button.dataset.body), fields: button.dataset.fields.split(" ").filter(Boolean), label: button.textContent };
  dialog.querySelector("#dialog-title").textContent = chosen.title;
  find("about").textContent = chosen.about;
  confirm.textContent = chosen.label;
  confirm.classList.toggle("danger", button.classList.contains("danger"));
  for (const field of dialog.querySelectorAll("[data-field]")) {
    const name = field.dataset.field;
    const input = field.querySelector("input, select");
    field.hidden = !chosen.fields.includes(name);
    input.disabled = field.hidden;
    input.required = !field.hidden && !OPTIONAL.includes(name);
    input.value = chosen.body[name] ?? (input.tagName === "SELECT" ? input.options[0].value : input.defaultValue);
  }
  find("made").hidden = true;
  explain(find("problem"), "");
  ready(true);
  dialog.showModal();
  (dialog.querySelector("[data-field]:not([hidden]) input, [data-field]:not([hidden]) select") ?? confirm).focus();
});
find("cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  for (const input of dialog.querySelectorAll("input")) input.value = input.defaultValue; // no password stays in the page
  if (find("made").hidden) return;
  find("token").textContent = "";
  location.reload();
});

dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (sending) return;
  if (chosen.fields.includes("password") && value("password") !== value("again")) {
    explain(find("problem"), "The new password and its repetition differ.");
    return;
  }
  sending = true;
  ready(false);
  try {
    const body = { ...chosen.body, ...Object.fromEntries(chosen.fields.map((name) => [name, name === "days" ? Number(value(name)) : value(name)])) };
    const told = await ask(chosen.path, { method: chosen.change, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    sessionStorage.setItem(KEPT, `${chosen.title.replace(/\?$/, "")}: done.`);
    if (told.token) show(told.token);
    else location.reload();
  } catch (error) {
    const unknown = "The server did not answer, so it is not known whether this was done. Load the page again once it is there.";
    explain(find("problem"), error instanceof Refused ? `Nothing was changed: ${error.message}` : unknown, error);
    ready(true);
  } finally {
    sending = false;
  }
});

/** Shows a new token, which the page keeps no longer than the dialog is open. */
function show(token) {
  for (const field of dialog.querySelectorAll("[data-field]")) field.hidden = true;
  explain(find("problem"), "");
  find("token").textContent = token;
  find("made").hidden = false;
  confirm.hidden = true;
  find("cancel").textContent = "I have kept it: close";
  find("cancel").focus();
}

function ready(now) {
  confirm.disabled = !now;
  confirm.hidden = false;
  find("cancel").textContent = "Cancel";
}

function value(id) {
  const input = dialog.querySelector(`#${id}`);
  return input.type === "password" ? input.value : input.value.trim();
}

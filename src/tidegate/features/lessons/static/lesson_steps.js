// The steps of a lesson, each with a confirmation. What is done is told by the page's stream alone.
import { Refused, ask, explain } from "./session.js";

const find = (what, within = document) => within.querySelector(`[data-${what}]`);
const dialog = find("dialog");
const confirm = find("confirm", dialog);
const who = dialog.querySelector("#by");
let chosen = null;
let sending = false;

function show(element, text) {
  element.hidden = !text;
  element.textContent = text;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-step]");
  if (!button) return;
  chosen = { ...button.dataset, label: button.textContent };
  dialog.querySelector("#dialog-title").textContent = `${chosen.label}?`;
  find("about", dialog).textContent = chosen.about;
  find("line", dialog).textContent = chosen.line;
  confirm.textContent = chosen.label;
  confirm.classList.toggle("danger", button.classList.contains("danger"));
  confirm.disabled = false;
  if (who) who.value = localStorage.getItem("tidegate-name") ?? "";
  dialog.querySelector("#reason").value = "";
  find("bake", dialog).hidden = dialog.querySelector("#bake").disabled = chosen.step !== "train";
  show(find("moved", dialog), "");
  show(find("problem", dialog), "");
  dialog.showModal();
  (!who || who.value ? dialog.querySelector("#reason") : who).focus();
});
find("cancel", dialog).addEventListener("click", () => dialog.close());

dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (sending) return;
  sending = confirm.disabled = true;
  if (who) localStorage.setItem("tidegate-name", who.value.trim());
  const bake = chosen.step === "train" ? { bake: Number(dialog.querySelector("#bake").value) } : {};
  const body = { ...(who ? { by: who.value.trim() } : {}), reason: dialog.querySelector("#reason").value.trim(), run: chosen.run, ...bake };
  try {
    await ask(`/tidegate/v1/lessons/${chosen.lesson}/${chosen.step}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    dialog.close();
  } catch (error) {
    const told =
      error instanceof Refused
        ? `Nothing was changed: ${error.message}`
        : "The server did not answer, so it is not known whether this was done. The page will show it once the server is there again.";
    explain(find("problem", dialog), told, error);
    confirm.disabled = false;
  } finally {
    sending = false;
  }
});

/** What was about to be confirmed may have been done by somebody else meanwhile. */
addEventListener("livenews", () => {
  if (!dialog.open || sending) return;
  const there = [...document.querySelectorAll("[data-step]")].some((one) => one.dataset.step === chosen.step && one.dataset.run === chosen.run);
  show(find("moved", dialog), there ? "" : "This can no longer be done: somebody else did it, or the lesson went on meanwhile.");
  confirm.disabled = !there;
});

// Resumes a batch job, after a confirmation; what becomes of it is told by the page's stream.
import { Refused, ask, explain } from "./session.js";

const dialog = document.querySelector("[data-dialog]");
const find = (what) => dialog.querySelector(`[data-${what}]`);
const who = dialog.querySelector("#by"); // where nobody signs in
const done = document.querySelector("[data-done]");
let job = null;
let sending = false;

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-resume]");
  if (!button) return;
  job = button.dataset.resume;
  dialog.querySelector("#dialog-title").textContent = `Resume: ${job}?`;
  find("about").textContent = `${button.dataset.records} objects are finished. It goes on after them, with the same model, input and output.`;
  find("line").textContent = `tidegate batch resume ${job}`;
  find("confirm").disabled = false;
  explain(find("problem"), "");
  if (who) who.value = localStorage.getItem("tidegate-name") ?? "";
  dialog.querySelector("#reason").value = "";
  dialog.showModal();
  (!who || who.value ? dialog.querySelector("#reason") : who).focus();
});
find("cancel").addEventListener("click", () => dialog.close());

dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (sending) return;
  sending = find("confirm").disabled = true;
  if (who) localStorage.setItem("tidegate-name", who.value.trim());
  const body = { ...(who ? { by: who.value.trim() } : {}), reason: dialog.querySelector("#reason").value.trim() };
  try {
    const told = await ask(`/tidegate/v1/transforms/${encodeURIComponent(job)}/resume`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    dialog.close();
    done.hidden = false;
    done.textContent = `${job}: resumed. Now: ${told.status}`;
  } catch (error) {
    const unknown = "The server did not answer, so it is not known whether this was done. The list will show it once the server is there again.";
    explain(find("problem"), error instanceof Refused ? `Nothing was changed: ${error.message}` : unknown, error);
    find("confirm").disabled = false;
  } finally {
    sending = false;
  }
});

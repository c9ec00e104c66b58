// The dialog that confirms a command (confirmation.html): it asks for a name and a reason, sends the command, and
// says what the server answered.
import { Refused, ask, explain } from "./session.js";

export const find = (what, within = document) => within.querySelector(`[data-${what}]`);

/** Shows a text in an element, which is hidden while there is none. */
export function show(element, text) {
  element.hidden = !text;
  element.textContent = text;
}

/**
 * Opens the dialog for the buttons that have a data attribute. Each function is given the button's data, with its text
 * as `label`. `describe`: title, about and line to show. `request`: path and body to send, besides name and reason.
 * `finish`: called with the answer, too. `findObstacle`: why it can no longer be done, asked at news of the page; empty
 * where it can. `record`: where it is seen whether a command without an answer was done.
 */
export function confirmCommands({ attribute, describe, request, finish = () => {}, findObstacle = () => "", record }) {
  const dialog = find("dialog");
  const confirm = find("confirm", dialog);
  const who = dialog.querySelector("#by"); // where nobody signs in
  const reason = dialog.querySelector("#reason");
  let chosen = null;
  let sending = false;

  document.addEventListener("click", (event) => {
    const button = event.target.closest(`[data-${attribute}]`);
    if (!button) return;
    chosen = { ...button.dataset, label: button.textContent };
    const { title, about, line } = describe(chosen);
    dialog.querySelector("#dialog-title").textContent = title;
    find("about", dialog).textContent = about;
    find("line", dialog).textContent = line;
    confirm.textContent = chosen.label;
    confirm.classList.toggle("danger", button.classList.contains("danger"));
    confirm.disabled = false;
    if (who) who.value = localStorage.getItem("tidegate-name") ?? "";
    reason.value = "";
    show(find("moved", dialog), "");
    show(find("problem", dialog), "");
    dialog.showModal();
    (!who || who.value ? reason : who).focus();
  });
  find("cancel", dialog).addEventListener("click", () => dialog.close());

  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    sending = confirm.disabled = true;
    if (who) localStorage.setItem("tidegate-name", who.value.trim());
    const sent = chosen;
    const { path, body } = request(sent);
    const whole = { ...body, ...(who ? { by: who.value.trim() } : {}), reason: reason.value.trim() };
    try {
      const told = await ask(path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(whole),
      });
      dialog.close();
      finish(sent, told);
    } catch (error) {
      const told =
        error instanceof Refused
          ? `Nothing was changed: ${error.message}`
          : `The server did not answer, so it is not known whether this was done. The ${record} will show it once the server is there again.`;
      explain(find("problem", dialog), told, error);
      confirm.disabled = false;
    } finally {
      sending = false;
    }
  });

  const refuse = (obstacle) => {
    show(find("moved", dialog), obstacle);
    confirm.disabled = Boolean(obstacle);
  };
  /** What was about to be confirmed may have become impossible, by time or by somebody else. */
  addEventListener("livenews", () => {
    if (dialog.open && !sending) refuse(findObstacle(chosen));
  });
  addEventListener("livegone", () => {
    if (dialog.open) refuse("This can no longer be done: what the page shows was deleted meanwhile.");
  });
}

// A page that is being computed: asks for it as no browser does, which waits for the result, then shows it.
// An open dialog, such as the command palette, is left to be closed first: a reload would end what is typed there.
const AGAIN = 2000;

async function wait() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "*/*" }, cache: "no-store" });
    await answer.text();
    show();
  } catch {
    document.querySelector("#waiting").textContent = "The server does not answer. Trying again …";
    setTimeout(wait, AGAIN);
  }
}

function show() {
  const dialog = document.querySelector("dialog[open]");
  if (dialog) dialog.addEventListener("close", show, { once: true });
  else location.reload();
}

wait();

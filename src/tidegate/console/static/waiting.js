// A page that is being computed: asks for it as no browser does, which waits for the result, then shows it.
const AGAIN = 2000;

async function wait() {
  try {
    const answer = await fetch(location.href, { headers: { accept: "*/*" }, cache: "no-store" });
    await answer.text();
    location.reload();
  } catch {
    document.querySelector("#waiting").textContent = "The server does not answer. Trying again …";
    setTimeout(wait, AGAIN);
  }
}

wait();

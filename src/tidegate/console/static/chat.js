// A conversation with an endpoint: answers are shown as they are generated.
import { Refused, explain, send } from "./session.js";

const box = document.querySelector("[data-chat]");
const name = encodeURIComponent(box?.dataset.chat ?? "");
const MOST_TOKENS = 256;
let messages = [];
let running = null;

/** A line of the conversation; what is said is text and never markup. */
function addLine(who, text) {
  const line = document.createElement("li");
  const speaker = document.createElement("b");
  const said = document.createElement("span");
  speaker.textContent = who;
  said.textContent = text;
  line.append(speaker, said);
  box.querySelector("[data-said]").append(line);
  return said;
}

/** What the model says, part by part. Where requests must be signed the server signs, and the answer comes whole. */
async function* answerTo(conversation, signal) {
  const asked = { messages: conversation, max_tokens: MOST_TOKENS };
  const headers = { "content-type": "application/json" };
  // This path, since InvokeEndpoint's gives an answer as a whole.
  const streamed = await fetch(`/endpoints/${name}/v1/chat/completions`, { method: "POST", headers, signal, body: JSON.stringify({ ...asked, stream: true }) });
  if (streamed.ok && streamed.headers.get("content-type")?.startsWith("text/event-stream")) {
    yield* readEvents(streamed.body);
    return;
  }
  if (streamed.status !== 401 && streamed.status !== 403) throw new Refused(await reason(streamed));
  const whole = await send(`/tidegate/v1/endpoints/${name}/invoke`, { method: "POST", headers, signal, body: JSON.stringify(asked) });
  if (!whole.ok) throw new Refused(await reason(whole));
  yield (await whole.json()).choices?.[0]?.message?.content ?? "";
}

async function reason(answer) {
  const text = await answer.text();
  if (answer.ok) return "This model's answer is not a stream of text: it cannot be talked to here.";
  try {
    const told = JSON.parse(text);
    return told.Message ?? told.message ?? told.error?.message ?? text;
  } catch {
    return text || `status ${answer.status}`;
  }
}

async function* readEvents(body) {
  let rest = "";
  for await (const part of chunks(body.pipeThrough(new TextDecoderStream()))) {
    const lines = (rest + part).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Refused(event.error.message);
      yield event.choices?.[0]?.delta?.content ?? "";
    }
  }
}

/** A stream's parts; not every browser can loop over one. */
async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

async function ask(text) {
  const problem = box.querySelector("[data-problem]");
  const measured = box.querySelector("[data-measured]");
  const stop = box.querySelector("[data-stop]");
  problem.hidden = true;
  addLine("You", text);
  messages.push({ role: "user", content: text });
  const shown = addLine(decodeURIComponent(name), "");
  const mine = (running = new AbortController());
  const began = performance.now();
  let first = null;
  let said = "";
  stop.disabled = false;
  try {
    for await (const part of answerTo(messages, mine.signal)) {
      if (running !== mine) return;
      if (part) first ??= performance.now() - began;
      said += part;
      shown.textContent = said;
      shown.scrollIntoView({ block: "nearest" });
    }
  } catch (error) {
    if (error.name !== "AbortError") explain(problem, error instanceof Refused ? error.message : "The connection was lost before the answer was complete.", error);
  } finally {
    if (running === mine) {
      running = null;
      stop.disabled = true;
      // A conversation alternates: a question without an answer is taken back.
      if (said) messages.push({ role: "assistant", content: said });
      else messages.pop();
      measured.textContent = first === null ? "" : `First words after ${Math.round(first)} ms, all of it after ${Math.round(performance.now() - began)} ms.`;
    }
  }
}

if (box) {
  box.hidden = false;
  const form = box.querySelector("form");
  const message = box.querySelector("#message");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = message.value.trim();
    if (!text || running) return;
    message.value = "";
    ask(text);
  });
  box.querySelector("[data-stop]").addEventListener("click", () => running?.abort());
  box.querySelector("[data-new]").addEventListener("click", () => {
    const before = running;
    running = null;
    before?.abort();
    messages = [];
    box.querySelector("[data-stop]").disabled = true;
    box.querySelector("[data-said]").replaceChildren();
    box.querySelector("[data-measured]").textContent = "";
    message.focus();
  });
}

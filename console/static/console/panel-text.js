/* The test panel of a service that generates text: sends the form, shows the answer while it comes, and stops on request. */
"use strict";

const form = document.getElementById("text-form");
const result = document.getElementById("panel-result");
const stop = document.getElementById("text-stop");
const send = form?.querySelector("[type=submit]");
const LISTED = 20;
let going = null;

const remember = () => {
  const answer = document.getElementById("panel-answer");
  if (!answer) return;
  const card = document.getElementById("panel-history");
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString()} · ${answer.dataset.summary}`;
  if (answer.dataset.ok !== "true") line.className = "errors";
  const list = card.querySelector("ol");
  list.prepend(line);
  while (list.children.length > LISTED) list.lastElementChild.remove();
  card.hidden = false;
};

// The HTML is the console's own, escaped by its templates; what a model says goes through textContent only.
const show = (html) => {
  result.innerHTML = html;
  result.setAttribute("aria-busy", "false");
  remember();
};

const waiting = () => {
  const live = document.getElementById("text-live").content.firstElementChild.cloneNode(true);
  result.replaceChildren(live);
  result.setAttribute("aria-busy", "true");
  if (result.getBoundingClientRect().top > innerHeight - 80) result.scrollIntoView(); // on a phone it is below the form
  return { said: live.querySelector("[data-said]"), note: live.querySelector("[data-note]") };
};

const events = async function* (response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const [kind, data] = part.split("\n");
      yield { kind: kind.slice("event: ".length), data: JSON.parse(data.slice("data: ".length)) };
    }
  }
};

const follow = async (response, place) => {
  let complete = false;
  for await (const { kind, data } of events(response)) {
    if (kind === "text") {
      if (!place.said.textContent) place.note.textContent = `First text after ${Math.round(data.at_ms)} ms`;
      place.said.append(data.text);
    } else {
      show(data.html);
      complete = true;
    }
  }
  if (!complete) place.note.textContent = "The console ended the answer before it was complete.";
};

const ask = async (body) => {
  const place = waiting();
  going = new AbortController();
  try {
    const headers = { "HX-Request": "true" };
    const response = await fetch(form.dataset.stream, { method: "POST", body, headers, signal: going.signal });
    const streamed = response.headers.get("content-type")?.startsWith("text/event-stream");
    if (streamed) await follow(response, place);
    else if (response.redirected) location.reload(); // the session ended
    else show(await response.text());
  } catch (error) {
    place.note.textContent = error.name === "AbortError" ? "Stopped." : "The console does not answer. Try again in a moment.";
    result.setAttribute("aria-busy", "false");
  }
  going = null;
};

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (going) return;
  const body = new FormData(form);
  send.disabled = true;
  stop.hidden = false;
  await ask(body);
  send.disabled = false;
  stop.hidden = true;
});
stop?.addEventListener("click", () => going?.abort());
form?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

/* The test panel: shows the fields of the chosen way to give values, and keeps a list of what was sent from this page. */
"use strict";

const LISTED = 20;

const showChosen = (input) => {
  const how = input.querySelector("select[name$='-how']").value;
  input.querySelectorAll("[data-how]").forEach((part) => { part.hidden = part.dataset.how !== how; });
  const kind = input.querySelector("select[name$='-generate']").value;
  input.querySelectorAll("[data-kind]").forEach((part) => { part.hidden = part.dataset.kind !== kind; });
};
const showProtocol = () => {
  const chosen = document.querySelector("#panel-form [name=protocol]:checked")?.value;
  document.querySelectorAll("#panel-form [data-protocol]").forEach((part) => {
    part.hidden = !part.dataset.protocol.split(" ").includes(chosen);
  });
};
showProtocol();
document.addEventListener("change", (event) => { if (event.target.name === "protocol") showProtocol(); });

const inputs = document.querySelectorAll("[data-panel-input]");
inputs.forEach(showChosen);
document.addEventListener("change", (event) => {
  const input = event.target.closest("[data-panel-input]");
  if (input) showChosen(input);
});

// Messages beside an input also mark its visible fields, so that assistive technology says which one is wrong.
const markWrong = () => inputs.forEach((input) => {
  const wrong = input.querySelector(".errors li") !== null;
  input.querySelectorAll("[data-how]:not([hidden]) :is(input, textarea, select)").forEach((field) => {
    field.toggleAttribute("aria-invalid", wrong);
    if (wrong) field.setAttribute("aria-invalid", "true");
  });
});

const remember = (answer) => {
  const card = document.getElementById("panel-history");
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString()} · ${answer.dataset.summary}`;
  if (answer.dataset.ok !== "true") line.className = "errors";
  const list = card.querySelector("ol");
  list.prepend(line);
  while (list.children.length > LISTED) list.lastElementChild.remove();
  card.hidden = false;
};

const result = document.getElementById("panel-result");
if (result) {
  new MutationObserver(() => {
    markWrong();
    if (result.getBoundingClientRect().top > innerHeight - 80) result.scrollIntoView(); // on a phone it is below the form
    const answer = document.getElementById("panel-answer");
    if (answer && !answer.dataset.listed) {
      answer.dataset.listed = "true";
      remember(answer);
    }
  }).observe(result, { childList: true });
}

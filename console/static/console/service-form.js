/* Conveniences of the service form: rows come and go, errors are jumped to. Without this an empty row is always there. */
"use strict";

document.addEventListener("click", (event) => {
  const adder = event.target.closest("[data-add-row]"), remover = event.target.closest("[data-remove-row]");
  if (adder) {
    const list = adder.closest("[data-rows]");
    const row = list.querySelector("template").content.firstElementChild.cloneNode(true);
    list.querySelector(".rows").append(row);
    row.querySelector("input, select").focus();
  }
  if (remover) {
    const list = remover.closest("[data-rows]");
    remover.closest(".row-line").remove();
    list.dispatchEvent(new Event("change", { bubbles: true }));
    list.querySelector("[data-add-row]").focus();
  }
});

// The link that opened a folder is gone with the folder it was in: go on at the one that it opened. htmx itself keeps
// the focus on what has the same id before and after.
let browsed = false;
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig } = event.detail, active = document.activeElement;
  browsed = target.id === "source" && target.contains(active);
  // A path that is being typed is worth more than an answer that comes late; leaving the field asks again.
  const typing = active.id === "id_model_path" && active.value !== active.defaultValue;
  if (browsed && typing && requestConfig.elt !== active) event.detail.shouldSwap = false;
});
document.addEventListener("htmx:afterSwap", () => {
  if (browsed && document.activeElement === document.body) document.querySelector("#source .crumbs li:last-child a")?.focus();
  browsed = false;
});

document.getElementById("summary")?.scrollIntoView();

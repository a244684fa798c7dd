/* Keeps a growing log at its end while the reader is there, and lets go as soon as they scroll up. */
"use strict";

const log = document.getElementById("log");
if (log) {
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  const toEnd = () => { log.scrollTop = log.scrollHeight; };
  let follow = true;
  toEnd();
  log.addEventListener("scroll", () => { follow = atEnd(); });
  document.addEventListener("htmx:afterSwap", () => { if (follow) toEnd(); });
}

document.querySelectorAll("select[data-submits]").forEach((select) => {
  select.addEventListener("change", () => select.form.submit());
});

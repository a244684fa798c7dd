/* Behaviour that every page shares. Nothing here is needed to read a page; without it forms still post. */
"use strict";

document.documentElement.classList.add("js");

// A poll that brings the same content again must not move focus, close a <details> or be read out a second time.
const lastContent = new Map(); // by id: a fragment may bring its own wrapper, which is then another element
const withoutTokens = (html) => html.replace(/name="csrfmiddlewaretoken" value="[^"]*"/g, "");

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  if (new URL(xhr.responseURL, location.href).pathname === document.body.dataset.login) {
    event.detail.shouldSwap = false; // the session ended: the whole page has to go to the login, not the fragment
    location.reload();
    return;
  }
  if (!target.hasAttribute("data-live") || xhr.status >= 400) return;
  const content = withoutTokens(xhr.responseText);
  if (lastContent.get(target.id) === content) event.detail.shouldSwap = false;
  lastContent.set(target.id, content);
});

// The server answers a poll whose subject is gone with the end of polling, instead of an error a second.
document.addEventListener("htmx:configRequest", (event) => {
  const { elt, headers } = event.detail;
  if (elt.matches("[data-live], [data-log-more]")) headers["X-Live"] = "true";
});

// The console is away: say so once, and stop saying it as soon as an answer comes.
const offline = (away) => {
  const notice = document.getElementById("offline");
  if (notice) notice.hidden = !away;
};
document.addEventListener("htmx:sendError", () => offline(true));
document.addEventListener("htmx:afterOnLoad", () => offline(false));

const say = (button, text) => {
  const label = button.querySelector("[data-label]") || button;
  const before = label.textContent;
  label.textContent = text;
  setTimeout(() => { label.textContent = before; }, 1600);
};

// navigator.clipboard exists only on https and localhost; the fallback selects the text instead.
const copy = async (button) => {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
    say(button, "Copied");
  } catch {
    getSelection().selectAllChildren(source);
    say(button, "Press Ctrl+C");
  }
};

document.addEventListener("click", (event) => {
  const on = (attribute) => event.target.closest(`[${attribute}]`);
  const copied = on("data-copy"), opener = on("data-open"), closer = on("data-close"), toggler = on("data-toggle");
  if (copied) copy(copied);
  if (opener) document.getElementById(opener.dataset.open)?.showModal();
  if (closer) closer.closest("dialog")?.close();
  if (toggler) {
    const open = document.getElementById(toggler.dataset.toggle).classList.toggle("open");
    toggler.setAttribute("aria-expanded", String(open));
  }
  if (on("data-dismiss")) event.target.closest(".notice").remove();
});

// A dangerous button stays off until the name has been typed.
document.addEventListener("input", (event) => {
  const wanted = event.target.dataset.confirm;
  if (wanted === undefined) return;
  event.target.form.querySelector("[type=submit]").disabled = event.target.value !== wanted;
});

// A dialog that came back with errors is open again.
document.querySelectorAll("dialog[data-opened]").forEach((dialog) => dialog.showModal());

// Times in words go on while a page is open, in the words of the filter `ago`. By the console's clock, not this one's.
const behind = document.body.dataset.now * 1000 - Date.now();
const ago = (at) => {
  const seconds = Math.round((Date.now() + behind - Date.parse(at)) / 1000), far = Math.abs(seconds);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => far >= size) || [1, "s"];
  const said = `${Math.floor(far / size)} ${unit}`;
  return seconds < 0 ? `in ${said}` : `${said} ago`;
};
setInterval(() => document.querySelectorAll("time[data-ago]").forEach((time) => {
  time.textContent = ago(time.getAttribute("datetime"));
}), 5000);

// What the keyboard does, what forms send that change something, and what a log does while it is followed.
// Pages are read without any of it.
(() => {
  "use strict";
  const root = "/_neargate/console/";
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const store = (() => { try { return window.localStorage; } catch { return null; } })();

  // Live pages.
  let paused = false;
  const live = () => one("#live");
  const tell = (text) => { const it = live(); if (it && it.textContent !== text) it.textContent = text; };
  document.addEventListener("htmx:sse:before:message", (event) => {
    if (paused) { event.preventDefault(); return; }
    const log = one("#log");
    if (log) log.dataset.follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40 ? "yes" : "no";
  });
  document.addEventListener("htmx:sse:after:message", () => {
    tell(paused ? "paused" : "live");
    followLog();
    filterRows();
    markRow();
  });
  document.addEventListener("htmx:sse:error", () => tell("the daemon does not answer"));

  function followLog() {
    const log = one("#log");
    if (!log) return;
    const follows = log.dataset.follows !== "no";
    log.setAttribute("aria-live", follows ? "polite" : "off");
    if (follows) log.scrollTop = log.scrollHeight;
  }

  // Rows.
  let chosen = null;
  const rows = () => all("[data-row]").filter((it) => !it.hidden);
  const current = () => rows().find((it) => it.id && it.id === chosen) || null;
  function markRow() {
    for (const it of all("[data-row]")) it.toggleAttribute("data-chosen", Boolean(chosen) && it.id === chosen);
  }
  function step(by) {
    const list = rows();
    if (!list.length) return;
    list.forEach((it, at) => { if (!it.id) it.id = "row-" + at; });
    const at = list.findIndex((it) => it.id === chosen);
    const next = list[Math.min(Math.max(at + by, 0), list.length - 1)];
    chosen = next.id;
    markRow();
    const link = one("a", next);
    if (link) link.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }
  let wanted = "";
  function filterRows() {
    for (const it of all("[data-row]")) it.hidden = Boolean(wanted) && !it.textContent.toLowerCase().includes(wanted);
  }

  // Dialogs.
  function dialog(label, fill) {
    const open = one("dialog[open]");
    if (open) open.close();
    const it = document.createElement("dialog");
    it.setAttribute("aria-label", label);
    fill(it);
    it.addEventListener("close", () => it.remove());
    document.body.append(it);
    it.showModal();
    return it;
  }
  function element(name, fields = {}, text = "") {
    const it = Object.assign(document.createElement(name), fields);
    if (text) it.textContent = text;
    return it;
  }
  function askRows() {
    dialog("Filter rows", (it) => {
      const input = element("input", { type: "search", value: wanted });
      input.setAttribute("aria-label", "Show rows with");
      input.addEventListener("input", () => { wanted = input.value.trim().toLowerCase(); filterRows(); });
      input.addEventListener("keydown", (event) => { if (event.key === "Enter") it.close(); });
      it.append(input);
    });
  }
  async function palette() {
    const answer = await fetch(root + "find?format=json");
    if (!answer.ok) return;
    const places = all("nav a").map((it) => ({ name: it.textContent, kind: "place", address: it.href }));
    const things = places.concat((await answer.json()).things);
    dialog("Find a thing", (it) => {
      const input = element("input", { type: "search", autocomplete: "off" });
      input.setAttribute("aria-label", "Name, id or ARN");
      const list = element("ul", { className: "found" });
      const show = () => {
        const word = input.value.trim().toLowerCase();
        const fits = things.filter((thing) => thing.name.toLowerCase().includes(word)).slice(0, 20);
        list.replaceChildren(...fits.map((thing) => {
          const item = element("li");
          const link = element("a", { href: thing.address }, thing.name);
          item.append(link, " ", element("small", {}, thing.kind));
          return item;
        }));
      };
      const links = () => all("a", list);
      it.addEventListener("keydown", (event) => {
        const at = links().indexOf(document.activeElement);
        if (event.key === "ArrowDown") { (links()[at + 1] || links()[0])?.focus(); event.preventDefault(); }
        if (event.key === "ArrowUp") { (links()[at - 1] || input).focus(); event.preventDefault(); }
        if (event.key === "Enter" && event.target === input) links()[0]?.click();
      });
      input.addEventListener("input", show);
      it.append(input, list);
      show();
    });
  }

  // Keys.
  let before = "";
  const typing = (it) => it instanceof Element && it.matches("input, select, textarea, [contenteditable]");
  function press(selector) {
    const row = current();
    const it = (row && one(selector, row)) || one("main " + selector);
    if (it) it.click();
  }
  function up() {
    const parts = location.pathname.slice(root.length).split("/").filter(Boolean);
    if (location.search) location.assign(location.pathname);
    else if (parts.length) location.assign(root + (parts.length > 2 ? parts[0] : parts.slice(0, -1).join("/")));
  }
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      palette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (one("dialog[open]") || store?.getItem("neargate-single-keys") === "off") return;
    const led = before === "g";
    before = event.key;
    if (led) {
      before = "";
      const place = one(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (place) place.click();
      return;
    }
    const does = {
      "?": () => location.assign(root + "keys"),
      "/": () => { const field = one("[data-filter]"); if (field) field.focus(); else askRows(); },
      "j": () => step(1),
      "k": () => step(-1),
      // Where the row's link has the focus, the browser follows it by itself.
      "Enter": () => { const row = current(); if (row && document.activeElement === document.body && row.dataset.row) location.assign(row.dataset.row); },
      "w": () => press('[data-key="w"]'),
      "l": () => press('[data-key="l"]'),
      "o": () => press("a.url"),
      "a": () => { const it = one("#commands"); if (it) { it.open = !it.open; it.scrollIntoView(); one("summary", it).focus(); } },
      "y": () => navigator.clipboard?.writeText(location.href),
      ".": () => { paused = !paused; tell(paused ? "paused" : "live"); },
      "Escape": up,
    }[event.key];
    if (does) { if (event.key !== "Enter") event.preventDefault(); does(); }
  });

  // What changes something: by a header that no form can send.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("form.act")) return;
    event.preventDefault();
    if (form.dataset.sure && !window.confirm(form.dataset.sure)) return;
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { "x-neargate-console": "act", "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams(new FormData(form)),
    });
    const text = await answer.text();
    dialog(answer.ok ? "Done" : "Refused", (it) => {
      const close = element("button", { type: "button" }, "Close");
      close.addEventListener("click", () => it.close());
      const said = element("p", {}, text);
      said.setAttribute("role", "status");
      it.append(said, close);
    });
  });

  document.addEventListener("DOMContentLoaded", () => {
    const box = one("#single-keys");
    if (box) {
      box.checked = store?.getItem("neargate-single-keys") !== "off";
      box.addEventListener("change", () => store?.setItem("neargate-single-keys", box.checked ? "on" : "off"));
    }
    followLog();
  });
})();

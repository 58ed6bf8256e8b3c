/* What every page does: live refreshes, times that stay current, light and dark, small conveniences of forms. */
"use strict";

(() => {
  const root = document.documentElement;
  const REFRESH_MS = 1200; // a busy fleet changes many times a second; one refresh of a part covers them all

  /* ---- times ---- */
  const span = (ms) => {
    const min = ms / 60000, h = min / 60, d = h / 24;
    if (min < 1.5) return `${Math.round(ms / 1000)} s`;
    if (h < 1.5) return `${Math.round(min)} min`;
    if (d < 1.5) return `${Math.round(h)} h`;
    if (d < 100) return `${Math.round(d)} days`;
    return d < 700 ? `${Math.round(d / 30.44)} months` : `${(d / 365.25).toFixed(1)} years`;
  };
  const tick = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[data-ms]")) {
      const ms = Number(time.dataset.ms), gone = now - ms;
      const text = Math.abs(gone) < 5000 ? "now" : gone > 0 ? `${span(gone)} ago` : `in ${span(-gone)}`;
      if (time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(tick, 15000);

  /* ---- live parts ---- */
  const waiting = new Map();
  const refresh = (part) => {
    if (waiting.has(part) || document.hidden) { if (document.hidden) stale = true; return; }
    waiting.set(part, setTimeout(() => {
      waiting.delete(part);
      if (part.isConnected) htmx.trigger(part, "live");
    }, REFRESH_MS));
  };
  let stale = false;
  const changed = (kind) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      if (kind === "resync" || part.dataset.live.split(" ").includes(kind)) refresh(part);
    }
  };
  const listen = () => {
    const source = new EventSource("/events");
    for (const kind of ["ticket", "incident", "message", "device", "silence", "system", "resync"]) {
      source.addEventListener(kind, () => changed(kind));
    }
    source.onopen = () => { root.dataset.live = "on"; };
    source.onerror = () => { root.dataset.live = "off"; };
    window.addEventListener("pagehide", () => source.close());
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && stale) { stale = false; changed("resync"); }
  });

  /* ---- light and dark ---- */
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest("[data-theme-switch]")) {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      document.cookie = `bf_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
      document.dispatchEvent(new Event("bf:theme"));
    }
    const say = target?.closest("[data-say]");
    if (say) {
      const form = say.closest("form");
      form.elements.text.value = say.dataset.say;
      form.requestSubmit();
    }
  });

  /* ---- forms and scrolling ---- */
  const scrolledUp = new WeakSet(); // conversations in which somebody reads older lines: left where they are
  const toBottom = () => { for (const box of document.querySelectorAll("[data-bottom]")) if (!scrolledUp.has(box)) box.scrollTop = box.scrollHeight; };
  document.addEventListener("scroll", (event) => {
    const box = event.target;
    if (!(box instanceof Element) || !("bottom" in box.dataset)) return;
    if (box.scrollHeight - box.scrollTop - box.clientHeight > 40) scrolledUp.add(box); else scrolledUp.delete(box);
  }, true);
  document.addEventListener("htmx:after:request", (event) => {
    const form = event.target, status = event.detail?.ctx?.response?.status ?? 500;
    if (status < 400 && form instanceof HTMLFormElement && "clear" in form.dataset) for (const box of form.querySelectorAll("textarea, input[name=text]")) box.value = "";
  });
  /* What could not be done is told in a corner; the page stays as it is. */
  const tell = (sentence) => {
    const told = document.getElementById("told");
    if (!told) return;
    told.textContent = sentence;
    clearTimeout(told.timer);
    told.timer = setTimeout(() => { told.textContent = ""; }, 8000);
  };
  document.addEventListener("htmx:response:error", (event) => {
    let problem = {};
    try { problem = JSON.parse(event.detail.ctx.text); } catch { /* not ours: a proxy's page */ }
    if (event.detail.ctx.request.method !== "GET") tell(problem.detail || problem.code || "That did not work. Please try again.");
  });

  /* A table wider than the screen scrolls, so the keyboard must be able to reach it. */
  const reachable = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
    }
  };
  window.addEventListener("resize", reachable);
  document.addEventListener("htmx:after:swap", () => { tick(); toBottom(); reachable(); });
  document.addEventListener("keydown", (event) => {
    if ((event.key === "j" || event.key === "k") && !event.metaKey && !event.ctrlKey && !event.altKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "")) {
      const rows = [...document.querySelectorAll("table.list tbody a.main")]; // j and k walk through a list, Enter opens
      const at = rows.indexOf(document.activeElement);
      rows[Math.max(0, Math.min(rows.length - 1, event.key === "j" ? at + 1 : at - 1))]?.focus();
    }
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "")) {
      const search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });

  /* Local times in forms go with the zone they are local to. */
  const zones = () => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
    for (const box of document.querySelectorAll("[data-zone]")) if (box instanceof HTMLInputElement) box.value = zone; else box.textContent = zone;
  };

  document.addEventListener("DOMContentLoaded", () => {
    tick();
    zones();
    toBottom();
    reachable();
    for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
    if (document.querySelector("[data-live]")) listen();
    for (const part of document.querySelectorAll("[data-every]")) {
      setInterval(() => refresh(document.getElementById(part.id) ?? part), 1000 * Number(part.dataset.every));
    }
  });
})();

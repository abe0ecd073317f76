// What makes pages nicer where there is JavaScript; everything can be read without it.
"use strict";
(() => {
  // Theme: the system's, or the choice kept in a cookie that the server reads, so that no page flashes.
  const order = ["", "light", "dark"];
  const names = { "": "System theme", light: "Light theme", dark: "Dark theme" };
  const root = document.documentElement;
  const toggle = document.getElementById("theme");
  const show = () => {
    toggle.textContent = { "": "◐", light: "☀", dark: "☾" }[root.dataset.theme || ""];
    toggle.setAttribute("aria-label", names[root.dataset.theme || ""] + ", change it");
    toggle.title = names[root.dataset.theme || ""];
  };
  if (toggle) {
    toggle.hidden = false;
    show();
    toggle.addEventListener("click", () => {
      const next = order[(order.indexOf(root.dataset.theme || "") + 1) % order.length];
      if (next) root.dataset.theme = next;
      else delete root.dataset.theme;
      document.cookie = `theme=${next}; path=/; max-age=${next ? 31536000 : 0}; samesite=strict`;
      show();
    });
  }

  // "3 minutes ago" goes on being true. Same words as filters.relative on the server.
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const ago = (at) => {
    const seconds = Math.trunc((Date.now() - at) / 1000);
    const size = Math.abs(seconds);
    if (size < 5) return "just now";
    const [length, unit] = units.find(([each]) => size >= each);
    const count = Math.trunc(size / length);
    const amount = `${count} ${unit}${count === 1 ? "" : "s"}`;
    return seconds > 0 ? `${amount} ago` : `in ${amount}`;
  };
  setInterval(() => {
    for (const each of document.querySelectorAll("time[data-relative]")) {
      const text = ago(Date.parse(each.dateTime));
      if (each.textContent !== text) each.textContent = text;
    }
  }, 10000);

  // The matching line in sight, within its own box only: the page stays where it is.
  const match = document.getElementById("match");
  if (match) {
    const box = match.closest(".excerpt");
    box.scrollTop = match.offsetTop - (box.clientHeight - match.offsetHeight) / 2;
  }

  // Copying: the text comes from the address that also serves the download.
  const write = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea"); // plain http: no clipboard interface
      area.value = text;
      area.className = "visually-hidden";
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (!done) throw new Error("refused");
    }
  };
  for (const button of document.querySelectorAll("[data-copy-from]")) {
    button.hidden = false;
    const label = button.textContent;
    button.addEventListener("click", async () => {
      try {
        const answer = await fetch(button.dataset.copyFrom);
        if (!answer.ok) throw new Error(String(answer.status));
        await write(await answer.text());
        button.textContent = "Copied";
      } catch {
        button.textContent = "Could not copy; use the download";
      }
      setTimeout(() => { button.textContent = label; }, 3000);
    });
  }
})();

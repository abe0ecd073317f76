// Keeps a page up to date: one event stream; each region that asks for it is fetched again when it has changed.
"use strict";
(() => {
  const SILENCE_MS = 60000; // the server beats every 15 s; after this long the line is dead, whatever TCP thinks
  const FIRST_WAIT_MS = 1000;
  const LAST_WAIT_MS = 30000;
  const shown = document.getElementById("live");
  let stream = null;
  let wait = FIRST_WAIT_MS;
  let watchdog = 0;
  let retry = 0;
  let missed = true; // something may have changed while nobody listened: also between the page and the stream

  const say = (state, text) => {
    shown.hidden = false;
    shown.dataset.state = state;
    if (shown.textContent !== text) shown.textContent = text;
  };
  const refresh = (devices) => {
    for (const region of document.querySelectorAll("[data-live]")) {
      const own = region.dataset.live;
      if (!devices || !own || devices.includes(own)) htmx.trigger(region, "vedette:changed");
    }
  };
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(again, SILENCE_MS);
  };
  const close = () => {
    clearTimeout(watchdog);
    clearTimeout(retry);
    if (stream) stream.close();
    stream = null;
  };
  // Full jitter: after a restart of the server not everybody comes at once.
  const again = () => {
    close();
    missed = true;
    say("off", "Reconnecting");
    retry = setTimeout(open, wait / 2 + Math.random() * wait / 2);
    wait = Math.min(wait * 2, LAST_WAIT_MS);
  };
  const open = () => {
    close();
    stream = new EventSource(shown.dataset.url);
    alive();
    stream.addEventListener("open", () => {
      wait = FIRST_WAIT_MS;
      alive();
      say("on", "Live");
      if (missed) refresh(null);
      missed = false;
    });
    stream.addEventListener("beat", alive);
    stream.addEventListener("changed", (event) => {
      alive();
      refresh(event.data ? JSON.parse(event.data) : null);
    });
    stream.addEventListener("error", again);
  };

  // A page in the background lets go of its connection (browsers have six per server) and catches up later.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      missed = true;
    } else if (!stream) {
      open();
    }
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) {
      missed = true;
      open();
    }
  });
  if (shown && !document.hidden) open();
})();

"use strict";
(() => {
  const live = document.getElementById("live");
  const main = document.querySelector("main");
  // EventSource tries again by itself, and in silence: what is shown meanwhile must not be taken for what is.
  let heard = Date.now();
  const say = (text, ill) => { live.textContent = text; live.className = ill ? "ill" : ""; };
  const source = new EventSource("live");
  source.onmessage = (message) => {
    heard = Date.now();
    const news = JSON.parse(message.data);
    for (const child of [...main.children]) if (!news.ids.includes(child.id)) child.remove();
    for (const id of news.ids) {
      let part = document.getElementById(id);
      if (!part) { part = document.createElement("div"); part.id = id; }
      // A part that somebody is marking text in stays as it is until the next change.
      const marked = getSelection().toString() && part.contains(getSelection().anchorNode);
      if (id in news.parts && !marked) part.innerHTML = news.parts[id];
      if (part.parentNode !== main) main.append(part);
    }
    say("live, " + new Date().toISOString().slice(11, 19) + " UTC", false);
  };
  source.onerror = () => say("the program cannot be reached: what is below is old", true);
  // One that hangs ends no connection.
  setInterval(() => {
    const silent = Math.round((Date.now() - heard) / 1000);
    if (silent > 4) say("no news for " + silent + " s: what is below is old", true);
  }, 1000);
})();

/* What begins: what the page separates with, and which song the address names. */
"use strict";

(function () {
  const $ = (id) => document.getElementById(id);
  const TOLD_MS = 12000;
  let player = null;

  function show(name) {
    for (const section of ["library", "player"]) $(section).hidden = section !== name;
  }

  /* One sentence at the window's lower edge, which goes by itself. */
  let telling = null;
  function tell(text) {
    clearTimeout(telling);
    $("problem").textContent = text;
    telling = setTimeout(() => ($("problem").textContent = ""), TOLD_MS);
  }

  async function route() {
    const [, name, id] = location.hash.split("/");
    if (name !== "song" || !id) {
      player.close();
      document.title = "partita";
      show("library");
      return;
    }
    show("player");
    try {
      await player.open(id);
      $("main").focus({ preventScroll: true });
      window.scrollTo(0, 0);
    } catch (error) {
      player.close();
      tell(error.message);
      location.replace("#/");
    }
  }

  /* Why the page cannot work here, or an empty text. */
  function obstacle() {
    if (location.protocol === "file:") return "from-disk";
    return window.WebAssembly && window.Worker && window.OfflineAudioContext ? "" : "too-old";
  }

  async function begin() {
    const reason = obstacle();
    if (reason) {
      for (const id of ["drop", "songs-part"]) $(id).hidden = true;
      $(reason).hidden = false;
      return;
    }
    let facts;
    try {
      facts = await (await fetch("model.json")).json();
    } catch (error) {
      tell("model.json cannot be loaded: keep the page's folder together.");
      return;
    }
    partita.songs = new partita.Songs($("songs"), facts, tell);
    partita.takeFiles((files) => partita.songs.add(files), tell);
    player = new partita.Player({
      headroom: 1,
      models: new Map([[facts.name, facts]]),
      source: { find: (id) => partita.songs.find(id), loadPiece: (base, key) => partita.songs.loadPiece(base, key) },
    });
    addEventListener("beforeunload", (event) => partita.songs.isBusy && event.preventDefault());
    addEventListener("hashchange", route);
    await route();
  }

  begin();
})();

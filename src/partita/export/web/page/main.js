/* What begins: what the page separates with. */
"use strict";

(function () {
  const $ = (id) => document.getElementById(id);
  const { tell } = partita;

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
    const player = new partita.Player({
      headroom: 1,
      models: new Map([[facts.name, facts]]),
      source: { find: (id) => partita.songs.find(id), loadPiece: (base, key) => partita.songs.loadPiece(base, key) },
    });
    addEventListener("beforeunload", (event) => partita.songs.isBusy && event.preventDefault());
    await partita.followAddress(player);
  }

  begin();
})();

/* What begins: the token and the library. */
"use strict";

(function () {
  const $ = (id) => document.getElementById(id);
  const { show, tell } = partita;

  async function start() {
    const { server } = partita;
    const facts = await server.get("/api/server");
    const { models } = await server.get("/api/models");
    const store = new partita.Store();
    const choice = new partita.ModelChoice($("model"), $("model-facts"), models);
    const library = new partita.Library($("songs"), store, choice, tell);
    const storage = new partita.Storage(store, (promise) => library.act(promise));
    const arrived = (song, key) => server.post(`/api/songs/${song.id}/jobs`, { model: choice.name }, key);
    const uploads = new partita.Uploads($("uploads"), facts, arrived, (size) => storage.offer(size));
    partita.takeFiles((files) => uploads.add(files), tell);
    const player = new partita.Player({
      headroom: facts.headroom,
      models: new Map(models.map((model) => [model.name, model])),
      source: server,
      keys: facts.keys,
      findsTempo: facts.finds_tempo,
    });
    store.addEventListener("change", (event) => player.songChanged(store.songs, event.songs));
    store.addEventListener("away", () => ($("connection").hidden = false));
    store.addEventListener("back", () => ($("connection").hidden = true));
    store.listen();
    await partita.followAddress(player);
  }

  async function begin() {
    const given = /^#token=(.*)$/.exec(location.hash);
    if (given) {
      history.replaceState(null, "", "#/"); // where nobody reads it over a shoulder
      await partita.server.post("/api/session", { token: decodeURIComponent(given[1]) }).catch(() => null);
    }
    try {
      await start();
    } catch (error) {
      if (error.status === 401) show("login");
      else {
        show("library");
        tell(error.message);
      }
    }
  }

  $("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await partita.server.post("/api/session", { token: $("token").value });
      await start();
    } catch (error) {
      $("token-problem").textContent = error.message;
    }
  });
  begin();
})();

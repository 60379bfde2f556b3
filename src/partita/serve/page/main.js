/* What begins: the token, the library, and which song the address names. */
"use strict";

(function () {
  const $ = (id) => document.getElementById(id);
  const TOLD_MS = 12000;
  const sections = ["login", "library", "player"];
  let player = null;

  function show(name) {
    for (const section of sections) $(section).hidden = section !== name;
  }

  /* One sentence at the window's lower edge, which goes by itself. */
  let telling = null;
  function tell(text) {
    clearTimeout(telling);
    $("library-problem").textContent = text;
    telling = setTimeout(() => ($("library-problem").textContent = ""), TOLD_MS);
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
    player = new partita.Player({
      headroom: facts.headroom,
      models: new Map(models.map((model) => [model.name, model])),
      source: server,
    });
    store.addEventListener("away", () => ($("connection").hidden = false));
    store.addEventListener("back", () => ($("connection").hidden = true));
    store.listen();
    addEventListener("hashchange", route);
    await route();
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

  /* The link to the content must not change the address, which names the song. */
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
  });

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

/* What is shown: the library, or the song that the address names; and sentences that go by themselves. */
"use strict";

(function () {
  const TOLD_MS = 12000;
  let telling = null;

  /** Show one of the page's sections. */
  partita.show = function (name) {
    for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== name;
  };

  /** Show one sentence at the window's lower edge for a while. */
  partita.tell = function (text) {
    const toast = document.querySelector(".toast");
    clearTimeout(telling);
    toast.textContent = text;
    telling = setTimeout(() => (toast.textContent = ""), TOLD_MS);
  };

  async function route(player) {
    const address = location.hash;
    const isLeft = () => location.hash !== address; // then another call shows what is wanted
    const [, name, id] = address.split("/");
    if (name !== "song" || !id) {
      player.close();
      document.title = "partita";
      partita.show("library");
      return;
    }
    partita.show("player");
    try {
      await player.open(id);
      if (isLeft()) return;
      document.getElementById("main").focus({ preventScroll: true });
      window.scrollTo(0, 0);
    } catch (error) {
      if (isLeft()) return;
      player.close();
      partita.tell(error.message);
      location.replace("#/");
    }
  }

  /** Open the songs that the address names, now and whenever it changes. */
  partita.followAddress = function (player) {
    addEventListener("hashchange", () => route(player));
    return route(player);
  };

  /* The link to the content must not change the address, which names the song. */
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
})();

/* Keys of the player; fields that take text or arrows keep theirs. */
"use strict";

(function () {
  const SEEK_S = 5;
  const FINE_SEEK_S = 1;

  partita.listenToKeys = function (player) {
    const { engine } = player;
    const move = (event, sign) => engine.seek(engine.time + sign * (event.shiftKey ? FINE_SEEK_S : SEEK_S));
    const step = (by) => {
      const { stems } = player;
      const number = stems.indexOf(player.chosen) + by;
      player.chooseStem(stems[Math.max(0, Math.min(stems.length - 1, number))]);
    };
    const keys = {
      " ": () => player.playOrPause(),
      ArrowLeft: (event) => move(event, -1),
      ArrowRight: (event) => move(event, 1),
      ArrowUp: () => step(-1),
      ArrowDown: () => step(1),
      s: () => player.toggle(player.soloed, player.chosen),
      m: () => player.toggle(player.muted, player.chosen),
      l: () => player.toggleLoop(),
      w: () => player.goToWorst(),
      n: () => player.toggleNull(),
      z: () => player.toggleZoom(),
      v: () => player.togglePictures(),
      Escape: () => player.setRegion(null, false),
      0: () => player.choose(partita.Choice.MIXTURE),
    };
    for (let digit = 1; digit < 10; digit++) {
      keys[digit] = () => player.names[digit - 1] !== undefined && player.choose(player.names[digit - 1]);
    }

    let isPointed = true; // the focus came by a click: space is then for the player, not the button
    document.addEventListener("pointerdown", () => (isPointed = true), true);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Tab") isPointed = false;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (!Object.hasOwn(keys, key) || isTaken(event.target, key, isPointed)) return;
      event.preventDefault();
      keys[key](event);
    });
    document.addEventListener("keyup", (event) => {
      if (event.key === " " && !isTaken(event.target, " ", isPointed)) event.preventDefault(); // Firefox
    });
  };

  /* Whether an element that has the focus needs a key itself. */
  function isTaken(target, key, isPointed) {
    if (target.matches("select, textarea, input:not([type=range])")) return true;
    if (target.matches("input[type=range]")) return key.startsWith("Arrow");
    if (target.matches(".wide")) return key === "ArrowLeft" || key === "ArrowRight";
    if (key === "ArrowUp" || key === "ArrowDown") return !target.closest(".player");
    return key === " " && !isPointed && target.matches("button, summary, a");
  }
})();

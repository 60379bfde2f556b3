/* The pointer over the lanes: a click seeks, a drag chooses the region that is looped. */
"use strict";

(function () {
  const SHORTEST_DRAG_PX = 5;

  partita.listenToPointer = function (player, lanes) {
    let pressed = null; // where a click or a drag began
    const timeAt = (event) => {
      const { page, width, view } = player.screen.placing();
      const time = view.start + ((event.clientX - page) / width) * (view.end - view.start);
      return Math.max(view.start, Math.min(view.end, time));
    };
    lanes.addEventListener("pointerdown", (event) => {
      if (event.button || !event.target.closest(".lane-view")) return;
      pressed = { x: event.clientX, time: timeAt(event), moved: false };
      lanes.setPointerCapture(event.pointerId);
    });
    lanes.addEventListener("pointermove", (event) => {
      const inView = pressed || event.target.closest(".lane-view");
      player.hovered = inView && event.pointerType === "mouse" ? timeAt(event) : null;
      if (pressed && Math.abs(event.clientX - pressed.x) >= SHORTEST_DRAG_PX) pressed.moved = true;
      if (pressed && pressed.moved) {
        const [start, end] = [pressed.time, timeAt(event)].sort((a, b) => a - b);
        player.region = { start, end };
      }
      player.screen.renderTime();
    });
    lanes.addEventListener("pointerup", (event) => {
      if (!pressed) return;
      if (pressed.moved) player.setRegion(player.region, true);
      else player.engine.seek(timeAt(event));
      pressed = null;
    });
    lanes.addEventListener("pointercancel", () => (pressed = null));
    lanes.addEventListener("pointerleave", () => {
      player.hovered = null;
      player.screen.renderTime();
    });
  };
})();

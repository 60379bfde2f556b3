/* The whole song in one line, drawn by wavesurfer.js: where it plays, and the region that is looped. */
"use strict";

(function () {
  const HEIGHT = 48;
  const SHORTEST_S = 0.1;

  class Overview {
    /** @param orders  {seek(seconds), choose(region or null)} */
    constructor(element, orders) {
      this.element = element;
      this.orders = orders;
      this.surfer = null;
      this.settling = false; // while the region follows what was set elsewhere
    }

    /** Show a song's mixture. */
    load(signal, seconds) {
      if (this.surfer) this.surfer.destroy();
      this.surfer = WaveSurfer.create({
        container: this.element,
        height: HEIGHT,
        peaks: [partita.peaksOf(signal)],
        duration: Math.max(seconds, 0.001),
        normalize: true,
        cursorWidth: 0,
        hideScrollbar: true,
        cspNonce: "partita",
        ...this._colours(),
      });
      this.regions = this.surfer.registerPlugin(WaveSurfer.Regions.create());
      this.regions.enableDragSelection({ color: partita.colour("--region"), minLength: SHORTEST_S });
      this.surfer.on("interaction", (time) => this.orders.seek(time));
      this.regions.on("region-created", (region) => {
        for (const other of this.regions.getRegions()) if (other !== region) other.remove();
        this._tell(region);
      });
      this.regions.on("region-updated", (region) => this._tell(region));
    }

    /** Show where it plays. */
    setTime(time) {
      this.surfer.setTime(time);
    }

    /** Show a region, {start, end}, or none. */
    setRegion(region) {
      this.settling = true;
      const [shown] = this.regions.getRegions();
      if (!region) this.regions.clearRegions();
      else if (shown) shown.setOptions(region);
      else this.regions.addRegion({ ...region, color: partita.colour("--region"), minLength: SHORTEST_S });
      this.settling = false;
    }

    recolour() {
      if (this.surfer) this.surfer.setOptions(this._colours());
    }

    _tell(region) {
      if (!this.settling) this.orders.choose({ start: region.start, end: region.end });
    }

    _colours() {
      return { waveColor: partita.colour("--wave"), progressColor: partita.colour("--accent") };
    }
  }

  partita.Overview = Overview;
})();

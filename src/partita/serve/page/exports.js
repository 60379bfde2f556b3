/* Mixes as files: made by the server from the stems themselves, then downloaded. */
"use strict";

(function () {
  const LOUDNESS_LUFS = -14;
  const { element, server } = partita;
  const $ = (id) => document.getElementById(id);

  /** What the page sounds like, in the words of the server. */
  function balanceOf(lanes) {
    const wish = { gain: {}, pan: {}, mute: [], solo: [] };
    for (const lane of lanes) {
      const { name } = lane.stem;
      if (lane.level === 0 || lane.isMuted) wish.mute.push(name);
      if (lane.isSolo) wish.solo.push(name);
      if (lane.level !== 0 && lane.decibels !== 0) wish.gain[name] = lane.decibels;
      if (lane.place !== 0) wish.pan[name] = lane.place;
    }
    // A stem that is soloed is heard, muted or not; off is off.
    if (wish.solo.length) wish.mute = lanes.filter((lane) => lane.level === 0).map((lane) => lane.stem.name);
    return wish;
  }

  class Exports {
    /** @param player  whose lanes, speed and pitch are taken */
    constructor(player) {
      this.player = player;
      this.isBusy = false;
      $("export").addEventListener("submit", (event) => {
        event.preventDefault();
        this._make();
      });
    }

    /** Offer what can be made of a separation. */
    async open(job, song) {
      this.job = job;
      this._tell("");
      this._offerFiles(job, song);
      const mine = element("option", { value: "" }, "as it sounds here");
      $("export-what").replaceChildren(mine);
      const { recipes } = await server.get(`/api/jobs/${job.id}/recipes`);
      if (this.job !== job) return;
      const options = recipes.map(({ name, summary }) => element("option", { value: name }, `${name}: ${summary}`));
      if (options.length) $("export-what").append(element("optgroup", { label: "Recipes" }, ...options));
    }

    _offerFiles(job, song) {
      const link = (href, label, note) =>
        element("a", { class: "button", href, download: true }, label, note && element("span", { class: "muted" }, note));
      const path = `/api/jobs/${job.id}`;
      const links = job.result.stems.map((stem) =>
        link(`${path}/stems/${encodeURIComponent(stem.name)}`, stem.name, `FLAC, ${partita.bytes(stem.size)}`));
      links.push(link(`${path}/zip`, "all stems", "zip"), link(`/api/songs/${song.id}/file`, "the song as it was"));
      $("downloads").replaceChildren(...links);
    }

    _wish() {
      const [format, bits] = $("export-format").value.split(" ");
      const recipe = $("export-what").value;
      const { speed, semitones } = this.player.engine.wanted;
      const wish = recipe ? { recipe } : { ...balanceOf(this.player.lanes.lanes), click_db: this.player.music.clickDb };
      if (this.player.music.hasBeats && $("export-click").checked) wish.click = true;
      return { ...wish, format, bits: bits || null, speed, pitch: semitones, loudness: $("export-loud").checked ? LOUDNESS_LUFS : null };
    }

    async _make() {
      if (this.isBusy) return;
      this._setBusy(true);
      const { job } = this;
      try {
        const mix = await server.post(`/api/jobs/${job.id}/mixes`, this._wish());
        this._tell([mix.name, partita.bytes(mix.size), ...mix.warnings].join(" · "));
        const link = element("a", { href: `/api/mixes/${mix.id}`, download: true, hidden: true });
        document.body.append(link);
        link.click();
        link.remove();
      } catch (error) {
        this._tell(error.message);
      }
      this._setBusy(false);
    }

    _setBusy(isBusy) {
      this.isBusy = isBusy;
      $("export-start").setAttribute("aria-disabled", isBusy);
      if (isBusy) this._tell("The mix is being made …");
    }

    _tell(text) {
      $("export-status").textContent = text;
    }
  }

  partita.Exports = Exports;
})();

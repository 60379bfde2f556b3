/* How full the library is; its oldest songs, to be deleted where there is no room. */
"use strict";

(function () {
  const { element, server, bytes, sureButton } = partita;
  const DELAY_MS = 500;
  const $ = (id) => document.getElementById(id);

  class Storage {
    /** @param store  of songs
     * @param act  function (promise), which says what fails
     */
    constructor(store, act) {
      this.act = act;
      this.wanted = null; // bytes that a refused upload needs
      store.addEventListener("change", () => {
        clearTimeout(this.waiting);
        this.waiting = setTimeout(() => this.show(), DELAY_MS);
      });
      $("room").addEventListener("toggle", () => $("room").open && this.show());
    }

    /** Offer what makes room for so many bytes. */
    offer(wanted) {
      this.wanted = wanted;
      $("room").open = true;
      this.show();
    }

    async show() {
      const query = this.wanted === null ? "" : `?bytes=${this.wanted}`;
      const found = await server.get(`/api/storage${query}`).catch(() => null);
      if (!found) return;
      $("storage").textContent = `${bytes(found.library_bytes)} of ${bytes(found.quota_bytes)} for songs and stems are used; ${bytes(found.free_bytes)} free on the disk.`;
      $("room").hidden = found.oldest.length === 0;
      if (found.is_nearly_full && !this.isTold) $("room").open = this.isTold = true;
      if ($("room").open) this._list(found.oldest);
    }

    _list(songs) {
      const shown = songs.map(({ id }) => id).join();
      if (shown === this.shown) return;
      this.shown = shown;
      this.boxes = songs.map((song) => {
        const box = element("input", { type: "checkbox", checked: true, change: () => this._count() });
        return Object.assign(box, { song });
      });
      $("oldest").replaceChildren(...this.boxes.map((box) =>
        element("li", {}, element("label", {}, box, box.song.name,
          element("span", { class: "muted" }, `${new Date(1000 * box.song.added_at).toLocaleDateString()}, ${bytes(box.song.bytes)}`)))));
      this._count();
    }

    _count() {
      const chosen = this.boxes.filter((box) => box.checked).map((box) => box.song);
      const size = chosen.reduce((sum, song) => sum + song.bytes, 0);
      const songs = `${chosen.length} ${chosen.length === 1 ? "song" : "songs"}`;
      const button = sureButton(`Delete ${songs}`, `Delete ${songs} for good?`, () => this._delete(chosen));
      button.classList.remove("quiet");
      $("room-start").replaceChildren(...(chosen.length ? [button, element("span", { class: "muted" }, `frees ${bytes(size)}`)] : []));
    }

    async _delete(songs) {
      this.wanted = null;
      for (const song of songs) await this.act(server.delete(`/api/songs/${song.id}`));
    }
  }

  partita.Storage = Storage;
})();

/* Files on their way to the server: two at a time, tried again when the connection breaks. */
"use strict";

(function () {
  const AT_ONCE = 2;
  const NO_ROOM = 507;
  const PAUSES_S = [1, 3, 10, 30];
  const { element } = partita;

  class Uploads {
    /** @param list  the <ul> that shows them
     * @param limits  of /api/server
     * @param arrived  function (song, key): a song is in the library
     * @param noRoom  function (bytes): the library has no room for a file
     */
    constructor(list, limits, arrived, noRoom) {
      Object.assign(this, { list, limits, arrived, noRoom, waiting: [], running: 0 });
    }

    add(files) {
      for (const file of files) {
        const row = new Row(file, (row) => this._drop(row));
        this.list.append(row.item);
        if (file.size > this.limits.most_bytes) {
          row.fail(`too large: this server takes files of up to ${partita.bytes(this.limits.most_bytes)}`);
        } else this.waiting.push(row);
      }
      this._next();
    }

    _drop(row) {
      this.waiting = this.waiting.filter((each) => each !== row);
      row.item.remove();
    }

    _next() {
      while (this.running < AT_ONCE && this.waiting.length) {
        const row = this.waiting.shift();
        this.running++;
        row.send().then(
          (song) => this.arrived(song, row.key).then(() => row.item.remove(), (error) => row.fail(error.message)),
          (error) => {
            row.fail(error.message);
            if (error.status === NO_ROOM) this.noRoom(row.file.size);
          },
        ).finally(() => {
          this.running--;
          this._next();
        });
      }
    }
  }

  class Row {
    constructor(file, drop) {
      this.file = file;
      this.key = partita.server.newKey();
      this.isDropped = false;
      this.bar = element("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
      this.text = element("p", { class: "state" }, "waits");
      const cancel = () => {
        this.isDropped = true;
        if (this.running) this.running.abort();
        drop(this);
      };
      this.button = element("button", { type: "button", class: "quiet", click: cancel }, "Cancel");
      this.button.setAttribute("aria-label", `Cancel the upload of ${file.name}`);
      this.item = element("li", { class: "song" },
        element("div", { class: "song-head" }, element("p", { class: "song-name" }, file.name), this.button),
        this.bar, this.text);
    }

    async send() {
      for (const pause of [...PAUSES_S, null]) {
        const found = await this._try();
        if (found) return found;
        if (this.isDropped || pause === null) break;
        this.text.textContent = "The server does not answer; it is tried again.";
        await new Promise((resolve) => setTimeout(resolve, 1000 * pause));
      }
      throw new Error("The server does not answer.");
    }

    /* Promise of the song, or of null where the connection broke; fails with what the server says. */
    _try() {
      return new Promise((resolve, reject) => {
        const sending = (this.running = new XMLHttpRequest());
        sending.open("POST", "/api/songs?name=" + encodeURIComponent(this.file.name));
        sending.setRequestHeader("Idempotency-Key", this.key);
        sending.setRequestHeader("Content-Type", "application/octet-stream");
        sending.upload.onprogress = ({ loaded, total }) => {
          this.bar.value = loaded / total;
          this.text.textContent = loaded < total ? `${partita.bytes(loaded)} of ${partita.bytes(total)}` : "is read";
        };
        sending.onload = () => {
          let content = {};
          try {
            content = JSON.parse(sending.responseText);
          } catch (error) {
            // no answer of ours
          }
          if (sending.status < 300 && content.id) resolve(content);
          else reject(Object.assign(new Error(content.error || "The upload failed."), { status: sending.status }));
        };
        sending.onerror = sending.onabort = () => resolve(null);
        sending.send(this.file);
      });
    }

    fail(why) {
      this.bar.remove();
      this.text.textContent = why;
      this.text.className = "state problem";
      this.text.setAttribute("role", "alert");
      this.button.textContent = "Dismiss";
      this.button.setAttribute("aria-label", `Dismiss ${this.file.name}`);
    }
  }

  partita.Uploads = Uploads;
})();

/* Stems as WAV files, written by the browser. */
"use strict";

(function () {
  const { element } = partita;
  const $ = (id) => document.getElementById(id);

  /** What the player offers below its lanes. */
  class Exports {
    async open(job) {
      const song = partita.songs.songOf(job.id);
      const button = (label, note, act) => element("button", { type: "button", class: "button", click: act }, label, element("span", { class: "muted" }, note));
      const names = job.result.stems.map((stem) => stem.name);
      const each = names.map((name) => button(name, "WAV", () => this._save(song, [name])));
      this._tell("");
      $("downloads").replaceChildren(...each, button("all stems", "zip", () => this._save(song, names)));
    }

    async _save(song, names) {
      this._tell("The file is being made …");
      try {
        const { files, gain } = await this._wavsOf(song, names);
        const [{ name, input }] = files.length === 1 ? files : [await zipOf(`${song.name}.zip`, files)];
        saveAs(input, name);
        const quieter = gain < 1 ? `, ${(20 * Math.log10(gain)).toFixed(1).replace("-", "−")} dB against clipping` : "";
        this._tell(`${name}, ${partita.bytes(input.size)}${quieter}`);
      } catch (error) {
        this._tell("The file cannot be made: the browser's memory does not suffice, or client-zip.js is missing.");
      }
    }

    /* Stems of one song keep their balance: whole numbers cannot exceed full scale, so all get one gain. */
    async _wavsOf(song, names) {
      const bits = Number($("download-format").value);
      const gain = bits < 32 && song.loudest > 1 ? 1 / song.loudest : 1;
      const files = [];
      for (const name of names) {
        const input = await partita.wavOf(song.stems.get(name).pcm, partita.songs.facts.sampleRate, bits, gain);
        files.push({ name: `${song.name} - ${name}.wav`, input });
      }
      return { files, gain };
    }

    _tell(text) {
      $("download-status").textContent = text;
    }
  }

  async function zipOf(name, files) {
    const { downloadZip } = await import("./client-zip.js");
    return { name, input: await downloadZip(files).blob() };
  }

  function saveAs(blob, name) {
    const address = URL.createObjectURL(blob);
    const link = element("a", { href: address, download: name, hidden: true });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  }

  partita.Exports = Exports;
})();

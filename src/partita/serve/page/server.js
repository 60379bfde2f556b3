/* The server: requests with one sentence for each failure, and changes of the library. */
"use strict";

window.partita = window.partita || {};

(function () {
  const AWAY = "The server does not answer.";
  const PAUSES_S = [0.5, 1, 2, 5, 10];

  async function request(method, path, { body, key } = {}) {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    if (key) headers["Idempotency-Key"] = key;
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      throw new Error(AWAY);
    }
    if (answer.status === 204) return null;
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(content.error || AWAY), { status: answer.status });
    return content;
  }

  /* A separation and its song, for the player. */
  async function find(id) {
    const job = await request("GET", `/api/jobs/${id}`);
    if (!job.result) throw new Error("This song is not separated yet.");
    return { job, song: await request("GET", `/api/songs/${job.song_id}`) };
  }

  /* Pieces come as FLAC; a connection that breaks is tried again. */
  async function loadPiece(base, key) {
    const cut = key.lastIndexOf("/");
    const path = `/api/${key.slice(0, cut)}/pieces${key.slice(cut)}`;
    for (const pause of [...PAUSES_S, null]) {
      let answer = null;
      try {
        answer = await fetch(path);
        if (answer.ok) {
          const bytes = await answer.arrayBuffer();
          return { head: { lead: 0, delay: 0, frames: framesOf(bytes) }, bytes };
        }
      } catch (error) {
        answer = null; // no connection
      }
      if (answer && answer.status < 500) throw new Error((await answer.json()).error);
      if (pause !== null) await new Promise((resolve) => setTimeout(resolve, 1000 * pause));
    }
    throw new Error(AWAY);
  }

  /* The length that a FLAC file states: the last 36 bits before its checksum. */
  function framesOf(bytes) {
    const view = new DataView(bytes);
    return (view.getUint8(21) & 15) * 2 ** 32 + view.getUint32(22);
  }

  /* Keys of requests, which may be repeated. crypto.randomUUID is for https and localhost only. */
  function newKey() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** The songs and jobs of the library, kept up to date.
   *
   * Events: "change" (event.songs and event.jobs: ids of what is new, changed or gone), "away", "back".
   */
  class Store extends EventTarget {
    constructor() {
      super();
      this.songs = new Map();
      this.jobs = new Map();
      this.isLoaded = false;
    }

    /* The browser connects again by itself, and says what it has seen. */
    listen() {
      const source = new EventSource("/api/events");
      source.onmessage = (event) => this._take(JSON.parse(event.data));
      source.onopen = () => this.dispatchEvent(new Event("back"));
      source.onerror = () => {
        this.dispatchEvent(new Event("away"));
        if (source.readyState === EventSource.CLOSED) setTimeout(() => this.listen(), 3000);
      };
    }

    jobsOf(song) {
      return [...this.jobs.values()].filter((job) => job.song_id === song.id);
    }

    _take({ all, songs, jobs, deleted }) {
      if (all) deleted = [...this.songs.keys(), ...this.jobs.keys()].filter((id) => ![...songs, ...jobs].some((each) => each.id === id));
      const event = new Event("change");
      event.songs = new Set(songs.map((song) => song.id));
      event.jobs = new Set(jobs.map((job) => job.id));
      for (const song of songs) this.songs.set(song.id, song);
      for (const job of jobs) {
        this.jobs.set(job.id, job);
        event.songs.add(job.song_id);
      }
      for (const id of deleted) {
        if (this.jobs.has(id)) event.songs.add(this.jobs.get(id).song_id);
        event.songs.add(id);
        event.jobs.add(id);
        this.songs.delete(id);
        this.jobs.delete(id);
      }
      this.isLoaded = true;
      this.dispatchEvent(event);
    }
  }

  partita.server = {
    newKey,
    find,
    loadPiece,
    get: (path) => request("GET", path),
    post: (path, body, key) => request("POST", path, { body, key }),
    delete: (path) => request("DELETE", path),
    correct: (song, correction) => request("PUT", `/api/songs/${song.id}/correction`, { body: correction }),
  };
  partita.Store = Store;
})();

/* The server: requests with one sentence for each failure, and changes of the library. */
"use strict";

window.partita = window.partita || {};

(function () {
  const AWAY = "The server does not answer.";

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
    get: (path) => request("GET", path),
    post: (path, body, key) => request("POST", path, { body, key }),
    delete: (path) => request("DELETE", path),
  };
  partita.Store = Store;
})();

// Answers of a listener: drafts that survive a reload, and the file that is saved.
"use strict";

// Private windows keep nothing, and some browsers nothing of pages on disk.
class Drafts {
  constructor(test) {
    this.page = test.page;
    this.key = `partita-listening-${test.page}-${test.form}`;
  }

  keep(state) {
    try {
      localStorage.setItem(this.key, JSON.stringify(state));
    } catch {
      // adviceItems() has said so
    }
  }

  find() {
    try {
      const draft = JSON.parse(localStorage.getItem(this.key));
      return draft && draft.page === this.page && Number.isInteger(draft.at) ? draft : null;
    } catch {
      return null;
    }
  }

  work() {
    try {
      localStorage.setItem(`${this.key}-test`, "");
      localStorage.removeItem(`${this.key}-test`);
      return true;
    } catch {
      return false;
    }
  }
}

// What partita.comparison.listening reads: the finished trials, in the order in which they came.
function answersOf(test, steps, state) {
  const done = steps.filter((step) => !step.practice && (state.answers[step.trial.id] || {}).done);
  return {
    format: "partita-listening-answers",
    version: 1,
    form: test.form,
    page: test.page,
    seed: test.seed,
    listener: state.listener,
    started: state.started,
    saved: new Date().toISOString(),
    trials: done.map(({ trial, order }) => {
      const { ratings, choice, seconds } = state.answers[trial.id];
      const said = test.form === "mushra" ? { ratings } : { choice };
      return { trial: trial.id, order, ...said, seconds: Math.round(seconds * 10) / 10 };
    }),
  };
}

function download(answers) {
  const who = answers.listener.normalize("NFKD").replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "");
  const blob = new Blob([JSON.stringify(answers, null, 1) + "\n"], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `listening-${answers.form}-${answers.page.slice(0, 6)}-${who.slice(0, 40) || "listener"}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

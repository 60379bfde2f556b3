// The order in which a listener hears trials and sounds.
"use strict";

// A 32-bit hash with well mixed bits: FNV-1a, then MurmurHash3's finaliser.
function hashOf(text) {
  let value = 2166136261;
  for (let at = 0; at < text.length; at++) {
    value = Math.imul(value ^ text.charCodeAt(at), 16777619);
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

// The same test and listener give the same order of ids, another listener gives another one.
function shuffled(test, listener, context, ids) {
  const rank = new Map(
    ids.map((id) => [id, hashOf([test.seed, test.page, listener, context, id].join("|"))]),
  );
  return [...ids].sort((a, b) => rank.get(a) - rank.get(b) || (a < b ? -1 : 1));
}

// What a listener goes through: MUSHRA has a trial for practice first, the one that comes last.
function stepsOf(test, listener) {
  const byId = new Map(test.trials.map((trial) => [trial.id, trial]));
  const ids = shuffled(test, listener, test.form, [...byId.keys()]).slice(0, test.heard);
  const steps = ids.map((id) => ({
    trial: byId.get(id),
    order: shuffled(test, listener, id, byId.get(id).items),
    practice: false,
  }));
  if (test.form !== "mushra") return steps;
  const { trial } = steps[steps.length - 1];
  const order = shuffled(test, listener, "practice", trial.items);
  return [{ trial, order, practice: true }, ...steps];
}

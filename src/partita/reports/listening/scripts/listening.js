// The pages of a blind listening test: MUSHRA (ITU-R BS.1534-3), and preference of pairs.
// Nothing here knows which entrant a sound comes from: the key stays with who runs the test.
"use strict";

(() => {
const test = JSON.parse(document.getElementById("test").textContent);
const MUSHRA = test.form === "mushra";
const SCALE = ["Bad", "Poor", "Fair", "Good", "Excellent"];
const LETTERS = "ABCDEFGHIJKL";
const HEARD_S = 1; // of a sound before it counts as heard; half of shorter ones
const TICK_MS = 50;
const main = document.getElementById("main");
const drafts = new Drafts(test);
const engine = new partita.Engine("audio/", test.coding);
let state = null; // of the listener: what a draft keeps
let steps = []; // what the listener goes through
let shown = null; // the step on the screen

// ---- elements -------------------------------------------------------------------------------

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function show(...children) {
  main.replaceChildren(...children.filter((child) => child !== null));
  window.scrollTo(0, 0);
  main.querySelector("h1").focus();
}

const heading = (text) => make("h1", { tabindex: "-1" }, text);
const list = (items) => make("ul", null, ...items.map((item) => make("li", null, item)));
const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function button(text, onclick, attributes) {
  return make("button", { type: "button", onclick, ...attributes }, text);
}

// ---- first and last screen --------------------------------------------------------------------

function showStart() {
  const draft = drafts.find();
  const count = Math.min(test.heard, test.trials.length);
  const code = make("input", { type: "text", maxlength: "60", autocomplete: "off", id: "code" });
  const begin = (event) => {
    event.preventDefault();
    const listener = code.value.trim() || anonymous();
    goOn({ page: test.page, listener, started: new Date().toISOString(), at: 0, answers: {} });
  };
  show(
    heading(MUSHRA ? "How close is it to the reference?" : "Which one is better?"),
    make("p", null, MUSHRA ? mushraText(count) : preferenceText(count)),
    make("div", { class: "card" }, make("strong", null, "Before you begin"), list(adviceItems())),
    draft ? draftCard(draft) : null,
    make(
      "form",
      { class: "card", onsubmit: begin },
      make("label", { class: "field" }, make("span", null, "Your name or a code (optional)"), code),
      make("p", { class: "small soft" }, "It stands in your answers and decides the order of what you hear."),
      make("button", { class: draft ? "" : "main", type: "submit", id: "start" }, draft ? "Drop that and start anew" : "Start"),
    ),
  );
}

function mushraText(count) {
  return (
    "You hear a recording of one instrument or voice, the reference, and versions of it that were " +
    "taken out of a song. Rate how close each version is to the reference. " +
    `${plural(count, "trial")} after one for practice: about ${minutes(count * 2.5)} minutes.`
  );
}

function preferenceText(count) {
  return (
    "You hear two versions of one instrument or voice that were taken out of a song. Say which one " +
    `is better. ${plural(count, "pair")}: about ${minutes(count * 0.6)} minutes.`
  );
}

const minutes = (count) => Math.max(5, Math.ceil(count / 5) * 5);

function adviceItems() {
  return [
    "Use headphones, in a quiet room.",
    "Set a comfortable volume with the first sound, then leave it.",
    ...(MUSHRA
      ? [
          "Any difference from the reference counts: other instruments that remain, a dull or hollow " +
            "sound, gurgling, missing notes, another level.",
          "One of the versions is the reference itself. It deserves 100.",
        ]
      : ["If both are equally good, say so."]),
    drafts.work()
      ? "Take a break when your ears are tired: this browser keeps what you did."
      : "Do it in one go, or save your answers before you close the page: this browser keeps nothing.",
  ];
}

function draftCard(draft) {
  return make(
    "div",
    { class: "card" },
    make("p", null, `You began as “${draft.listener}”: ${doneCount(draft)} done.`),
    button("Continue", () => goOn(draft), { class: "main", id: "resume" }),
  );
}

const doneCount = ({ answers }) => Object.values(answers).filter((answer) => answer.done).length;

function anonymous() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return "anonymous-" + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function goOn(found) {
  state = found;
  steps = stepsOf(test, state.listener);
  showStep();
}

function showStep() {
  drafts.keep(state);
  engine.pause();
  shown = null;
  if (state.at < steps.length) showTrial(steps[state.at]);
  else showEnd();
}

function showEnd() {
  show(
    heading("Thank you"),
    make("p", null, "Save your answers, and send the file to the person who gave you this test."),
    make("div", { class: "card end" }, button("Save answers", saveAnswers, { class: "main", id: "save" })),
    make("p", { class: "small soft" }, `Listener: ${state.listener}. The file is JSON: your answers, their order and times, nothing else.`),
  );
}

const saveAnswers = () => download(answersOf(test, steps, state));

// ---- a trial ----------------------------------------------------------------------------------

function showTrial(step) {
  const { trial, order, practice } = step;
  const answer = practice ? blank() : (state.answers[trial.id] ||= blank());
  const sounds = [trial.reference, ...order];
  engine.load(Object.fromEntries(sounds.map((id) => [id, test.signals[id]])));
  engine.warm(sounds);
  shown = { ...step, answer, sounds, buttons: new Map(), last: 0 };
  const count = steps.filter((each) => !each.practice).length;
  const number = state.at + (MUSHRA ? 0 : 1);
  show(
    make(
      "div",
      { class: "top small soft" },
      make("span", null, practice ? "Practice" : `${MUSHRA ? "Trial" : "Pair"} ${number} of ${count}`),
      make("progress", { max: count, value: Math.max(0, number - 1), "aria-label": "progress" }),
      doneCount(state) ? button("Save answers so far", saveAnswers, { class: "plain small" }) : null,
    ),
    heading(`${trial.stem}: ${MUSHRA ? "how close is each to the reference?" : "which one is better?"}`),
    make("p", { class: "soft" }, trial.song),
    practice ? make("p", null, "Get to know the sounds and the scale. Nothing here is saved: go on whenever you are ready.") : null,
    playerCard(),
    MUSHRA ? ratingCard() : choiceCard(),
    make("div", { class: "end" }, (shown.hint = make("p", { class: "hint small soft", role: "status" })), nextButton()),
    keysText(),
  );
  setLoop(0, engine.duration);
  refresh();
}

const blank = () => ({ ratings: {}, choice: null, heard: {}, seconds: 0, done: false });

function playerCard() {
  const pause = button("Play", toggle, { id: "toggle" });
  const volume = make("input", { type: "range", min: "0", max: "1", step: "0.01", "aria-label": "volume" });
  volume.value = String(engine.volume);
  volume.addEventListener("input", () => (engine.volume = Number(volume.value)));
  shown.pause = pause;
  shown.loop = make("div", { class: "loop" });
  shown.now = make("div", { class: "now" });
  shown.time = make("div", { class: "time", id: "time" }, shown.loop, shown.now);
  shown.span = make("span", null, "");
  dragLoop(shown.time);
  return make(
    "div",
    { class: "card player" },
    soundButton(shown.trial.reference, "Reference"),
    pause,
    make("span", null),
    make("label", { class: "volume small soft" }, make("span", null, "Volume"), volume),
    make(
      "div",
      { class: "bar small soft" },
      shown.time,
      make("div", { class: "under" }, shown.span, (shown.all = button("Repeat all", () => setLoop(0, engine.duration), { class: "plain small" }))),
    ),
  );
}

function soundButton(id, text) {
  const mark = make("span", { class: "mark", "aria-hidden": "true" });
  const element = button("", () => play(id), { "aria-pressed": "false", "data-sound": id });
  element.append(mark, text);
  shown.buttons.set(id, { element, mark });
  return element;
}

function ratingCard() {
  const rows = make("div", { class: "rows" }, make("span"), make("div", { class: "scale" }, ...SCALE.map((word) => make("span", null, word))), make("span"));
  shown.sliders = new Map();
  shown.order.forEach((id, index) => {
    const letter = LETTERS[index];
    const slider = make("input", { type: "range", min: "0", max: "100", step: "1", "aria-label": `rating of ${letter}` });
    const output = make("output");
    const box = make("div", { class: "slider" }, slider);
    slider.value = String(shown.answer.ratings[id] ?? 50);
    const rate = () => {
      shown.answer.ratings[id] = Number(slider.value);
      drafts.keep(state);
      refresh();
    };
    slider.addEventListener("input", rate);
    slider.addEventListener("pointerup", rate); // also where it stands already
    slider.addEventListener("keydown", (event) => event.key === "Enter" && rate());
    shown.sliders.set(id, { slider, output, box });
    rows.append(soundButton(id, letter), box, output);
  });
  return make("div", { class: "card" }, rows);
}

function choiceCard() {
  const [first, second] = shown.order;
  const options = [[first, "A is better"], ["", "No difference"], [second, "B is better"]];
  const labels = options.map(([value, text]) => {
    const input = make("input", { type: "radio", name: "choice", value });
    input.checked = shown.answer.choice === value;
    input.addEventListener("change", () => {
      shown.answer.choice = value;
      drafts.keep(state);
      refresh();
    });
    return make("label", null, input, text);
  });
  return make(
    "div",
    { class: "card" },
    make("div", { class: "two" }, soundButton(first, "A"), soundButton(second, "B")),
    make("fieldset", { class: "choice" }, make("legend", null, "Your choice"), ...labels),
  );
}

function nextButton() {
  const last = state.at === steps.length - 1;
  return (shown.next = button(shown.practice ? "Begin" : last ? "Finish" : "Next", next, { class: "main", id: "next" }));
}

function keysText() {
  const letters = MUSHRA ? `A … ${LETTERS[shown.order.length - 1]}` : "A, B";
  const key = (text) => make("kbd", null, text);
  return make(
    "p",
    { class: "keys small soft" },
    key("R"), " reference  ", key(letters), " sounds  ", key("Space"), " play or pause  ",
    ...(MUSHRA ? [key("←"), " ", key("→"), " rate  "] : []), key("N"), " next",
  );
}

function missing() {
  const name = (id) => (id === shown.trial.reference ? "the reference" : LETTERS[shown.order.indexOf(id)]);
  const names = (ids) => (ids.length === shown.sounds.length ? "all" : ids.map(name).join(", "));
  const enough = Math.min(HEARD_S, engine.duration / 2);
  const compulsory = MUSHRA ? shown.sounds : shown.order;
  const unheard = compulsory.filter((id) => (shown.answer.heard[id] || 0) < enough);
  const parts = unheard.length ? [`Still to hear: ${names(unheard)}.`] : [];
  const open = MUSHRA ? shown.order.filter((id) => !(id in shown.answer.ratings)) : [];
  if (open.length) parts.push(`Still to rate: ${open.map(name).join(", ")}.`);
  if (!MUSHRA && shown.answer.choice === null) parts.push("Still to choose.");
  return parts;
}

function refresh() {
  const enough = Math.min(HEARD_S, engine.duration / 2);
  for (const [id, { element, mark }] of shown.buttons) {
    const on = engine.playing && engine.mix.has(id);
    element.setAttribute("aria-pressed", String(on));
    mark.textContent = on ? "♪" : (shown.answer.heard[id] || 0) >= enough ? "✓" : "";
  }
  for (const [id, { slider, output, box }] of shown.sliders || []) {
    const rated = id in shown.answer.ratings;
    box.classList.toggle("unset", !rated);
    output.textContent = rated ? slider.value : "–";
    slider.setAttribute("aria-valuetext", rated ? `${slider.value}, ${wordOf(slider.value)}` : "not rated");
  }
  shown.pause.textContent = engine.playing ? "Pause" : "Play";
  const left = shown.practice ? [] : missing();
  shown.next.setAttribute("aria-disabled", String(left.length > 0));
  const noTop = MUSHRA && !left.length && !shown.practice && !Object.values(shown.answer.ratings).includes(100);
  const advice = noTop ? "One of them is the reference itself, but none of your ratings is 100." : "";
  const text = shown.problem || left.join(" ") || advice;
  if (shown.hint.textContent !== text) shown.hint.textContent = text;
}

const wordOf = (value) => SCALE[Math.min(4, Math.floor(value / 20))].toLowerCase();

function next() {
  if (!shown.practice && missing().length) return;
  shown.answer.done = true;
  state.at += 1;
  showStep();
}

// ---- sound ------------------------------------------------------------------------------------

function play(id) {
  engine.setMix({ [id]: 1 });
  engine.play();
}

function toggle() {
  if (engine.playing) engine.pause();
  else if (engine.mix.size) engine.play();
  else play(shown.trial.reference);
}

function setLoop(start, end) {
  engine.setLoop({ start, end });
  const whole = engine.duration;
  const loop = engine.loop || { start: 0, end: whole };
  shown.loop.style.left = `${(100 * loop.start) / whole}%`;
  shown.loop.style.width = `${(100 * (loop.end - loop.start)) / whole}%`;
  const part = loop.end - loop.start < whole;
  shown.all.hidden = !part;
  shown.span.textContent = part
    ? `Repeats ${loop.start.toFixed(1)} to ${loop.end.toFixed(1)} s.`
    : `Repeats all ${whole.toFixed(1)} s. Drag over a part to repeat that.`;
}

// A click goes to a place; dragging chooses the part that is repeated.
function dragLoop(bar) {
  let from = null;
  const at = (event) => {
    const box = bar.getBoundingClientRect();
    return engine.duration * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  bar.addEventListener("pointerdown", (event) => {
    from = at(event);
    bar.setPointerCapture(event.pointerId);
  });
  bar.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [start, end] = [Math.min(from, at(event)), Math.max(from, at(event))];
    from = null;
    if (end - start >= Math.min(0.5, engine.duration / 4)) setLoop(start, end);
    else engine.seek(start);
  });
}

setInterval(() => {
  if (!shown || document.hidden) return;
  const now = performance.now();
  const passed = shown.last ? Math.min(1, (now - shown.last) / 1000) : 0;
  shown.last = now;
  shown.answer.seconds += passed;
  const time = engine.time;
  if (engine.playing && time !== shown.place) {
    for (const id of engine.mix.keys()) shown.answer.heard[id] = (shown.answer.heard[id] || 0) + passed;
  }
  shown.place = time;
  shown.now.style.left = `${(100 * time) / engine.duration}%`;
  refresh();
}, TICK_MS);

engine.addEventListener("change", () => shown && refresh());
engine.addEventListener("error", (event) => shown && (shown.problem = event.message));
window.addEventListener("pagehide", () => state && drafts.keep(state));

document.addEventListener("keydown", (event) => {
  if (!shown || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toUpperCase();
  const letter = LETTERS.indexOf(key);
  if (key === "R") play(shown.trial.reference);
  else if (key.length === 1 && letter >= 0 && letter < shown.order.length) {
    const id = shown.order[letter];
    play(id);
    const row = (shown.sliders || new Map()).get(id);
    (row ? row.slider : shown.buttons.get(id).element).focus();
  } else if (key === " " && !event.target.matches("button, input[type=radio]")) toggle();
  else if (key === "N") next();
  else return;
  event.preventDefault();
});

showStart();
})();

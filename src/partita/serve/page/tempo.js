/* Speed without pitch and pitch without speed: the engine plays faster or slower, and an audio worklet
 * (Signalsmith Stretch, fetched when it is needed first) shifts the pitch back, and on. */
"use strict";

(function () {
  const SCRIPT = new URL("SignalsmithStretch.js", document.currentScript.src).href;
  const stretches = new WeakMap(); // AudioContext → promise of the node
  let script = null;

  function loadScript() {
    script ||= new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = SCRIPT;
      tag.onload = resolve;
      tag.onerror = () => {
        script = null;
        reject(new Error("Speed and pitch cannot be changed: SignalsmithStretch.js cannot be loaded."));
      };
      document.head.append(tag);
    });
    return script;
  }

  async function stretchOf(engine) {
    const context = engine._open();
    if (!stretches.has(context)) {
      await loadScript();
      SignalsmithStretch.moduleUrl = SCRIPT; // a file of this server: no code is made up
      stretches.set(context, SignalsmithStretch(context).then((node) => node.start().then(() => node)));
    }
    return stretches.get(context);
  }

  /** Let an engine play at a speed (1: as recorded), transposed by so many semitones. */
  partita.setTempo = async function (engine, speed, semitones) {
    engine.wanted = { speed, semitones };
    const isPlain = speed === 1 && semitones === 0;
    const node = isPlain && !engine.context ? null : isPlain && !stretches.has(engine.context) ? null : await stretchOf(engine);
    if (engine.wanted.speed !== speed || engine.wanted.semitones !== semitones) return; // changed meanwhile
    engine.speed = speed;
    if (!node) return;
    engine.output.disconnect();
    node.disconnect();
    if (isPlain) {
      engine.output.connect(engine.context.destination);
      return;
    }
    await node.schedule({ active: true, semitones: semitones - 12 * Math.log2(speed) });
    engine.output.connect(node);
    node.connect(engine.context.destination);
  };
})();

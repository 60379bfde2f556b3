/* Elements, times and sizes as people read them. */
"use strict";

(function () {
  /** Make an element; attributes that are functions are listeners, false ones are left out. */
  partita.element = function (tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name, value);
      else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  /** 3:07, or 1:02:07; with `digits` after the point. */
  partita.clock = function (seconds, digits = 0) {
    const unit = 10 ** digits;
    const whole = Math.round(seconds * unit);
    const minutes = Math.floor(whole / (60 * unit));
    const rest = ((whole % (60 * unit)) / unit).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
    const hours = Math.floor(minutes / 60);
    return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  };

  partita.bytes = function (count) {
    if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
    return `${Math.max(1, Math.round(count / 1e6))} MB`;
  };

  /** A button that asks once more before it does something that cannot be undone. */
  partita.sureButton = function (label, question, act) {
    let isAsked = false;
    const button = partita.element("button", { type: "button", class: "quiet" }, label);
    const calm = () => {
      isAsked = false;
      button.textContent = label;
      button.classList.remove("danger");
    };
    button.addEventListener("click", () => {
      if (isAsked) {
        calm();
        act();
        return;
      }
      isAsked = true;
      button.textContent = question;
      button.classList.add("danger");
    });
    button.addEventListener("blur", calm);
    return button;
  };
})();

/* Curves, such as losses over epochs; and the page's colours for all that is drawn by scripts. */
"use strict";

window.partita = window.partita || {};

(function () {
  const DASHES = [[], [6, 3], [2, 2]];

  /** A colour of the page's style sheet, such as "--ink". */
  partita.colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** The colour of the n-th system or curve. */
  partita.hue = (number) => partita.colour(`--hue-${number % 8}`);

  /** Call a function when the page changes between light and dark. */
  partita.onTheme = (draw) => matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  /** An axis of uPlot in the page's colours. */
  partita.axis = (options) => ({
    stroke: () => partita.colour("--muted"),
    grid: { stroke: () => partita.colour("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    ...options,
  });

  function draw(element) {
    const data = JSON.parse(element.dataset.chart);
    element.hidden = !data.x.length;
    if (element.hidden) return;
    const series = data.curves.map((curve, number) => ({
      label: curve.name,
      stroke: () => partita.hue(number),
      width: 1.75,
      dash: DASHES[Math.floor(number / 8) % 3],
      spanGaps: true,
      points: { show: data.x.length < 2 },
      value: (_, value) => (value === null || value === undefined ? "–" : value.toPrecision(4)),
    }));
    const options = {
      width: element.clientWidth,
      height: 300,
      scales: { x: { time: false }, y: { distr: data.logY ? 3 : 1 } },
      axes: [
        partita.axis({ label: data.xLabel, labelSize: 20, size: 32 }),
        partita.axis({ label: data.yLabel, labelSize: 20, size: 52 }),
      ],
      series: [{ label: data.xLabel }, ...series],
      cursor: { y: false },
    };
    const chart = new uPlot(options, [data.x, ...data.curves.map((curve) => curve.values)], element);
    new ResizeObserver(() => {
      if (element.clientWidth !== chart.width) chart.setSize({ width: element.clientWidth, height: 300 });
    }).observe(element);
    partita.onTheme(() => chart.redraw());
  }

  for (const element of document.querySelectorAll("[data-chart]")) draw(element);
})();

// The live series of the cluster page, drawn by uPlot from the JSON that each refresh brings.
(function () {
  "use strict";
  let plot = null;

  function colour(name) {
    return getComputedStyle(document.querySelector(".tx")).getPropertyValue(name).trim();
  }

  function clock(at) {
    return new Date(at * 1000).toISOString().slice(11, 19);
  }

  function axis(more) {
    return Object.assign({
      stroke: () => colour("--tx-subtle"),
      grid: { stroke: () => colour("--tx-line"), width: 1 },
      ticks: { show: false },
      font: "11px Inter, sans-serif",
    }, more);
  }

  function series(label, name) {
    return {
      label: label, stroke: () => colour(name), width: 2, points: { show: false },
      value: (_, value) => (value === null || value === undefined ? "–" : String(value)),
    };
  }

  function options(width) {
    return {
      width: width,
      height: 220,
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { y: { range: (_, least, most) => [0, Math.max(5, Math.ceil(most * 1.15))] } },
      axes: [axis({ size: 32, space: 80, values: (_, splits) => splits.map(clock) }), axis({ size: 44 })],
      series: [
        { value: (_, at) => (at ? clock(at) : "–"), label: "At" },
        series("Committed", "--tx-committed"),
        series("Reads", "--tx-read"),
        series("Aborted", "--tx-aborted"),
      ],
    };
  }

  function draw() {
    const place = document.getElementById("rates");
    const data = document.getElementById("rates-data");
    if (!place || !data || typeof uPlot === "undefined") {
      return;
    }
    const columns = JSON.parse(data.textContent);
    if (!columns[0].length) {
      return;
    }
    if (plot === null || !place.contains(plot.root)) {
      place.replaceChildren();
      plot = new uPlot(options(place.clientWidth), columns, place);
    } else {
      plot.setData(columns);
    }
  }

  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("htmx:afterSettle", draw);
  window.addEventListener("resize", function () {
    const place = document.getElementById("rates");
    if (plot !== null && place) {
      plot.setSize({ width: place.clientWidth, height: 220 });
    }
  });
  // The theme switch changes a class of the root: the colours are read anew.
  new MutationObserver(() => plot && plot.redraw()).observe(document.documentElement, { attributeFilter: ["class"] });
})();

"use strict";
(() => {
  // A4 without its margins, in CSS pixels.
  const PAPER = 680;
  // Narrower figures are lower too, so that more of them share a page.
  const LOWER = 0.82;
  // Below this many pixels words at the right edge need a margin, and long titles small letters.
  const NARROW = 560;
  // How far below the window a chart is drawn before it is scrolled to.
  const AHEAD = "400px";
  const paper = document.documentElement.classList.contains("paper");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const found = [];

  // The figures bring marks of their own; text, grid and hover follow the page.
  function theme(layout, light) {
    const ink = light ? "#1b1f24" : "#e8ebef";
    const quiet = light ? "#555c66" : "#a8b0bb";
    const grid = light ? "#e3e7ec" : "#2b333d";
    const page = light ? "#ffffff" : "#1a2028";
    const axis = { gridcolor: grid, linecolor: grid, tickcolor: grid, color: quiet };
    return {
      ...layout,
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", size: 13, color: ink },
      xaxis: { ...layout.xaxis, ...axis },
      yaxis: { ...layout.yaxis, ...axis },
      hoverlabel: { ...layout.hoverlabel, bgcolor: page, bordercolor: quiet, font: { color: ink } },
      // One with a box of its own is read on that.
      annotations: (layout.annotations || []).map((one) => (one.bgcolor ? one : { ...one, font: { ...one.font, color: quiet } })),
    };
  }

  function draw(one, light, width) {
    const height = one.figure.layout.height * (width === undefined ? 1 : LOWER);
    one.element.style.height = `${height}px`;
    const layout = { ...theme(one.figure.layout, light), width, height, autosize: width === undefined };
    if (one.element.clientWidth < NARROW) {
      layout.margin = { ...layout.margin, r: 48 };
      layout.xaxis.title = { ...layout.xaxis.title, font: { size: 10 } };
    }
    const config = { displayModeBar: false, scrollZoom: false, doubleClick: false, responsive: !paper, staticPlot: paper };
    return Plotly.react(one.element, one.figure.data, layout, config);
  }

  const root = document.documentElement;
  const isShown = (one) => one.figure !== undefined;

  // A figure is read and drawn when it is first needed: most of opening a page is drawing.
  function show(one, light, width) {
    if (!isShown(one)) one.figure = JSON.parse(one.source.textContent);
    return draw(one, light, width).then(() => { root.dataset.drawn = String(found.filter(isShown).length); });
  }

  const onScreen = (one) => show(one, !dark.matches);
  const onPaper = () => Promise.all(found.map((one) => show(one, true, PAPER)));
  const again = () => Promise.all(found.filter(isShown).map(onScreen));

  for (const source of document.querySelectorAll("script[data-figure]")) {
    const element = document.getElementById(source.dataset.figure);
    if (element) found.push({ element, source });
  }
  root.dataset.figures = String(found.length);
  if (paper) {
    onPaper();
  } else {
    const watch = new IntersectionObserver((seen) => {
      for (const { target } of seen.filter((one) => one.isIntersecting)) {
        watch.unobserve(target);
        onScreen(found.find((one) => one.element === target));
      }
    }, { rootMargin: AHEAD });
    found.slice(1).forEach((one) => watch.observe(one.element));
    if (found.length) onScreen(found[0]);
    dark.addEventListener("change", again);
    addEventListener("beforeprint", onPaper);
    addEventListener("afterprint", again);
  }
})();

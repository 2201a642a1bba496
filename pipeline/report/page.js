(() => {
  "use strict";
  const root = document.documentElement;
  const reading = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  const writing = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private window */ } };

  // theme: as the system says, light, dark
  const button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  const show = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = "Theme: " + theme;
  };
  let theme = themes.includes(reading("siftloom-theme")) ? reading("siftloom-theme") : "auto";
  show(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    writing("siftloom-theme", theme);
    show(theme);
    siftloomCharts.redraw();
  });

  // the command
  const copy = document.getElementById("copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(document.getElementById("command").textContent);
        copy.textContent = "Copied";
      } catch { copy.textContent = "Not allowed"; }
    });
  }

  // a link to a folded node unfolds it; paper shows everything
  const unfold = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not(.numbers)").forEach((one) => { one.open = true; });
    siftloomCharts.redraw();
  });

  // the section being read
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(target.id)?.setAttribute("aria-current", "location");
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  document.querySelectorAll("section[id]").forEach((section) => watcher.observe(section));

  // the graph beside the rows of its table, and the charts
  const { graph, figures } = JSON.parse(document.getElementById("drawn").textContent);
  const lanes = document.getElementById("lanes");
  if (lanes) {
    const table = lanes.parentElement.querySelector("table");
    new ResizeObserver(() => {
      lanes.style.width = graph.width + "px";
      lanes.style.height = table.offsetHeight + "px";
      if (siftloomCharts.chartOf(lanes)) siftloomCharts.redraw(lanes);
    }).observe(table);
    siftloomCharts.draw(lanes, () => ({
      ...graph, rows: [...table.tBodies[0].rows].map((row) => row.offsetTop + row.offsetHeight / 2), height: table.offsetHeight,
    }));
  }
  const colours = siftloomCharts.palette(figures);
  for (const host of document.querySelectorAll("[data-figure]")) {
    const figure = figures[Number(host.dataset.figure)];
    host.style.height = siftloomCharts.heightOf(figure) + "px";
    siftloomCharts.draw(host, figure, colours);
  }
})();

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
  addEventListener("beforeprint", () => document.querySelectorAll("details:not(.numbers)").forEach((one) => { one.open = true; }));

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

  // lines: the values under the pointer
  const readout = document.getElementById("readout");
  const four = (value) => Math.abs(value) >= 1e4 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
  const inverse = (text) => {
    const [low, high, log, from, to] = text.split(",").map(Number);
    return (at) => {
      const part = (at - from) / (to - from);
      return log ? low * (high / low) ** part : low + part * (high - low);
    };
  };
  for (const svg of document.querySelectorAll("svg[data-x]")) {
    const x = inverse(svg.dataset.x), y = inverse(svg.dataset.y);
    const lines = [...svg.querySelectorAll("polyline[data-name]")].map((line) => ({
      name: line.dataset.name, at: line.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number)),
    }));
    if (!lines.length) continue;
    const rule = svg.querySelector(".rule");
    const [top, floor] = [svg.dataset.y.split(",")[4], svg.dataset.y.split(",")[3]];
    svg.addEventListener("pointermove", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
      const near = lines.map((line) => ({
        name: line.name, point: line.at.reduce((best, point) => Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best),
      })).filter((one) => Math.abs(one.point[0] - at) < 24);
      readout.hidden = !near.length;
      rule.style.display = near.length ? "" : "none";
      if (!near.length) return;
      const px = near[0].point[0];
      for (const [name, value] of [["x1", px], ["x2", px], ["y1", top], ["y2", floor]]) rule.setAttribute(name, value);
      readout.textContent = four(x(px)) + near.map((one) => "\n" + one.name + "  " + four(y(one.point[1]))).join("");
      readout.style.left = Math.min(event.clientX + 14, innerWidth - readout.offsetWidth - 8) + "px";
      readout.style.top = event.clientY + 14 + "px";
    });
    svg.addEventListener("pointerleave", () => { readout.hidden = true; rule.style.display = "none"; });
  }
})();

// The theme before anything is painted; the same choice as the report's. In a script of its own, so that it can come first.
"use strict";
(() => {
  const root = document.documentElement, themes = ["auto", "light", "dark"];
  let theme = "auto";
  try { theme = localStorage.getItem("siftloom-theme") ?? "auto"; } catch { /* private window */ }
  if (!themes.includes(theme)) theme = "auto";
  const show = () => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = "Theme: " + theme;
  };
  show();
  addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme").addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      try { localStorage.setItem("siftloom-theme", theme); } catch { /* private window */ }
      show();
      siftloomCharts.redraw();
    });
  });
})();

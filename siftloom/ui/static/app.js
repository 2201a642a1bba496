// The address says which view stands in the page: #/, #/run/NAME/VIEW?..., #/compare?...
import { address, h, ping, say } from "./dom.js";
import * as compare from "./views/compare.js";
import * as documents from "./views/documents.js";
import * as models from "./views/models.js";
import * as run from "./views/run.js";
import * as runs from "./views/runs.js";
import * as thresholds from "./views/thresholds.js";

const VIEWS = { overview: run, thresholds, documents, models };
const TITLES = { overview: "Overview", thresholds: "Thresholds", documents: "Documents", models: "Models" };
const main = document.getElementById("main"), tabs = document.getElementById("tabs");
const PULSE = 5000; // between two looks whether the server is there
let leave = new AbortController();

const read = () => {
  const [path, query] = location.hash.slice(1).split("?");
  const [, first, name, view] = path.split("/").map(decodeURIComponent);
  return { first: first || "", name, view: view || "overview", params: Object.fromEntries(new URLSearchParams(query ?? "")) };
};

const link = (text, href, here) => h("a", { href, "aria-current": here ? "page" : undefined }, text);

const show = async () => {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave, at = read();
  for (const host of main.querySelectorAll(".chart, .lanes")) siftloomCharts.forget(host);
  const place = h("div", { class: "view" });
  tabs.replaceChildren(link("Runs", "#/", !at.first), ...(at.first === "run"
    ? Object.keys(VIEWS).map((view) => link(TITLES[view], address(at.name, view), view === at.view)) : []),
  link("Compare", "#/compare" + (at.first === "run" ? "?two=" + encodeURIComponent(at.name) : ""), at.first === "compare"));
  main.replaceChildren(place);
  document.title = at.first === "run" ? `${at.name}: ${TITLES[at.view] ?? ""} \u2013 siftloom` : "siftloom";
  try {
    const view = at.first === "run" ? VIEWS[at.view] : at.first === "compare" ? compare : runs;
    if (!view) throw new Error(`no view called ${at.view}`);
    await view.show(place, at, signal);
    if (!signal.aborted) say(document.title);
  } catch (error) {
    if (signal.aborted) return;
    place.append(h("p", { class: "problem", role: "alert" }, error.message));
  }
};

addEventListener("hashchange", show);
setInterval(() => { if (!document.hidden) ping(); }, PULSE);
show();

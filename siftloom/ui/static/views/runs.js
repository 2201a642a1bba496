// Every run of the store: its state, what it kept step by step, when it began and how long it worked.
import { address, api, day, duration, four, h, percent, state } from "../dom.js";

const AGAIN = 2000;

// A small funnel: one bar a step, as high as the documents that are left.
const spark = (funnel) => {
  const most = Math.max(1, ...funnel.map((step) => step.documents ?? 0));
  const bars = funnel.map((step) => {
    const bar = h("i", { title: `${step.node}: ${four(step.documents ?? 0)} documents` });
    bar.style.height = Math.max(4, 100 * (step.documents ?? 0) / most) + "%";
    return bar;
  });
  return h("span", { class: "spark", role: "img", "aria-label": funnel.map((step) => `${step.node} ${four(step.documents ?? 0)}`).join(", ") }, bars);
};

const left = (funnel) => {
  const rows = funnel.filter((step) => step.documents !== null), tokens = funnel.find((step) => step.tokens)?.tokens;
  if (!rows.length) return [h("span", { class: "quiet" }, "no documents yet")];
  const first = rows[0].documents, last = rows.at(-1).documents;
  return [h("span", { class: "kept" }, h("b", {}, four(last)), ` of ${four(first)}`), h("small", {}, ` ${percent(first ? last / first : 0)}${tokens ? `, ${four(tokens)} tokens` : ""}`)];
};

const rowOf = (run) => {
  const cells = ["state", "funnel", "left", "when", "long"].map((name) => [name, h("td", { class: name })]), at = Object.fromEntries(cells);
  at.when.textContent = run.started ?? "";
  const made = h("tr", {}, h("th", { scope: "row" }, h("a", { href: address(run.run, "overview") }, run.run),
    run.note ? h("span", { class: "kind" }, run.note) : "", h("span", { class: "kind" }, `${run.finished} of ${run.nodes} nodes`)), cells.map(([, cell]) => cell));
  made.fill = (card) => {
    at.state.replaceChildren(state(card.state), ...card.failed.slice(0, 1).map((text) => h("small", { class: "why" }, text)));
    at.funnel.replaceChildren(card.funnel.length ? spark(card.funnel) : "");
    at.left.replaceChildren(...left(card.funnel));
    at.when.textContent = day(card.began) || run.started || "";
    at.long.textContent = duration(card.seconds);
  };
  return made;
};

export const show = async (place, at, signal) => {
  const found = await api("runs", {}, signal);
  place.append(h("h1", {}, "Runs"), h("p", { class: "intro" }, found.store));
  if (!found.runs.length) {
    place.append(h("p", {}, "This store has no run yet. Start one with `siftloom run RECIPE`; it appears here while it works."));
    return;
  }
  const rows = found.runs.map((run) => [run, rowOf(run)]);
  place.append(h("div", { class: "scroll", role: "region", "aria-label": "Runs, the newest first", tabindex: 0 }, h("table", { class: "runs" },
    h("caption", { class: "unseen" }, "Runs, the newest first"),
    h("thead", {}, h("tr", {}, ["run", "state", "step by step", "documents left", "began", "worked"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map(([, row]) => row)))));
  const fill = async ([run, row]) => {
    const card = await api(`runs/${encodeURIComponent(run.run)}/card`, {}, signal).catch((error) => { if (signal.aborted) throw error; return null; });
    if (card) row.fill(card);
    if (card?.state === "working") setTimeout(() => { if (!signal.aborted) fill([run, row]).catch(() => {}); }, AGAIN);
  };
  const near = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) {
      near.unobserve(one.target);
      fill(rows.find(([, row]) => row === one.target)).catch(() => {});
    }
  }, { rootMargin: "400px" });
  for (const [, row] of rows) near.observe(row);
  signal.addEventListener("abort", () => near.disconnect());
};

// The results first, beside the loss curves, of trainings that still work too; everything else is folded below them.
import { api, chart, h, table } from "../dom.js";

const AGAIN = 2000;

const titled = (figure) => figure.node && !figure.title.includes(figure.node) && figure.kind !== "lines" ? `${figure.node}: ${figure.title}` : figure.title;
const inside = (figure, colours) => {
  if (figure.kind === "table") return table(figure.title, figure.columns, figure.rows, { units: figure.units ?? [], hidden: true });
  if (figure.kind === "text") return h("pre", { class: "text whole", tabindex: 0 }, figure.lines.join("\n"));
  return [figure.note ? h("p", { class: "quiet" }, figure.note) : null, chart(figure, colours)];
};
// A chart is drawn when its fold opens: without a width it cannot be.
const folded = (figure, colours) => {
  const made = h("details", { class: "fold" }, h("summary", {}, titled(figure)));
  made.addEventListener("toggle", () => { if (made.open && made.children.length === 1) made.append(...[inside(figure, colours)].flat().filter(Boolean)); });
  return made;
};

const drawn = (figures) => {
  const colours = siftloomCharts.palette(figures), shown = figures.filter((figure) => figure.kind !== "diff");
  const results = shown.filter((figure) => figure.kind === "table" && Number.isInteger(figure.highlight));
  const losses = shown.filter((figure) => figure.kind === "lines" && figure.smooth);
  const first = results.length ? results : shown.filter((figure) => figure.kind === "table").slice(0, 1);
  const top = [...first, ...losses], rest = shown.filter((figure) => !top.includes(figure));
  const groups = Map.groupBy(rest, (figure) => ({ table: "Tables", text: "What the models write" })[figure.kind] ?? "Curves");
  return [
    h("div", { class: "results" }, first.map((figure) => h("figure", {}, table(figure.title, figure.columns, figure.rows, { units: figure.units ?? [] }))),
      losses.map((figure) => h("figure", {}, h("h3", {}, figure.title), inside(figure, colours)))),
    h("div", { class: "folds" }, [...groups].map(([name, list]) => h("section", {}, h("h2", {}, name), list.map((figure) => folded(figure, colours))))),
  ];
};

export const show = async (place, at, signal) => {
  const live = h("div", {}), rest = h("div", {});
  place.append(h("h1", {}, "Models"), live, rest);
  let before = "", host;
  const refresh = async () => {
    const found = await api(`runs/${encodeURIComponent(at.name)}/models`, {}, signal);
    const training = found.live.filter((one) => one.points.length);
    if (training.length) {
      const figure = { kind: "lines", title: "Loss of the trainings that work now", x: "step", y: "loss [nats per token]", series: training };
      if (host) siftloomCharts.draw(host, figure, siftloomCharts.palette([figure]));
      else { host = chart(figure, siftloomCharts.palette([figure])); live.replaceChildren(h("h2", {}, figure.title), host); }
    } else if (host) { siftloomCharts.forget(host); host = undefined; live.replaceChildren(); }
    const now = JSON.stringify(found.figures);
    if (now !== before) {
      before = now;
      for (const one of rest.querySelectorAll(".chart")) siftloomCharts.forget(one);
      rest.replaceChildren(...drawn(found.figures));
    }
    if (!found.figures.length && !training.length) rest.replaceChildren(h("p", {}, "No model of this run has been trained yet."));
    if (!found.finished) again();
  };
  const again = () => setTimeout(() => { if (!signal.aborted) refresh().catch(again); }, AGAIN);
  await refresh();
};

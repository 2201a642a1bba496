// Loss curves, of trainings that still work too; tables of results; what the models write.
import { api, chart, h, table } from "../dom.js";

const AGAIN = 2000;

const placed = (figure, colours) => {
  if (figure.kind === "table") return h("figure", { class: "span" }, table(figure.title, figure.columns, figure.rows, { units: figure.units ?? [] }));
  if (figure.kind === "text") return h("figure", { class: "span" }, h("h3", {}, figure.title), h("pre", { class: "text", tabindex: 0 }, figure.lines.join("\n")));
  if (figure.kind === "diff") return null;
  return h("figure", {}, h("h3", {}, figure.title), figure.note ? h("p", { class: "quiet" }, figure.note) : null, chart(figure, colours));
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
      const colours = siftloomCharts.palette(found.figures);
      const sections = Map.groupBy(found.figures, (figure) => figure.section ?? figure.node);
      rest.replaceChildren(...[...sections].map(([name, figures]) => h("section", {}, h("h2", {}, name[0].toUpperCase() + name.slice(1)),
        h("div", { class: "gallery" }, figures.map((figure) => placed(figure, colours))))));
    }
    if (!found.figures.length && !training.length) rest.replaceChildren(h("p", {}, "No model of this run has been trained yet."));
    if (!found.finished) again();
  };
  const again = () => setTimeout(() => { if (!signal.aborted) refresh().catch(again); }, AGAIN);
  await refresh();
};

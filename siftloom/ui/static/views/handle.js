// The handle on a chart: a slider for the pointer and for the keyboard, at the place of its threshold. A share of the
// documents (`cuts`: where each share cuts the score) stands where it cuts, and moves by shares.
import { four, h, percent } from "../dom.js";

const rounded = (value, step) => Number((Math.round(value / step) * step).toPrecision(10));

// Shares and places on the axis, by the cuts, which ascend or descend.
const between = (from, to, value) => {
  const up = from.at(-1) >= from[0];
  let i = from.findIndex((one) => up ? one >= value : one <= value);
  if (i < 0) i = from.length - 1;
  if (i === 0) return to[0];
  const part = from[i] === from[i - 1] ? 1 : (value - from[i - 1]) / (from[i] - from[i - 1]);
  return to[i - 1] + part * (to[i] - to[i - 1]);
};
const shares = (cuts) => cuts.map((_, i) => i / (cuts.length - 1));
export const placeOf = (field, value) => field.cuts?.length ? between(shares(field.cuts), field.cuts, value) : value;
export const shown = (field, value) => field.cuts?.length ? percent(value) : four(value);

// `state`: `values` by name, `set(field, value, done)`, `host` of the chart, `range()` of the axis with its `step`.
export const handle = (field, state) => {
  const made = h("div", { class: "handle", role: "slider", tabindex: 0, "aria-label": field.name }, h("span", { class: "tag", "aria-hidden": "true" }));
  const range = () => field.cuts?.length ? { low: 1 / (field.cuts.length - 1), high: 1, step: 1 / (field.cuts.length - 1) } : state.range();
  const move = (value, done) => {
    const { low, high, step } = range();
    state.set(field, rounded(Math.min(high, Math.max(low, value)), step), done);
  };
  made.addEventListener("keydown", (event) => {
    const { low, high, step } = range(), wide = Math.max(step, (high - low) / 20);
    const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -wide, PageUp: wide }[event.key];
    const to = event.key === "Home" ? low : event.key === "End" ? high : by === undefined ? undefined : state.values.get(field.name) + by;
    if (to === undefined) return;
    event.preventDefault();
    move(to, true);
  });
  made.addEventListener("pointerdown", (event) => { made.setPointerCapture(event.pointerId); made.focus(); event.preventDefault(); });
  made.addEventListener("pointermove", (event) => {
    if (!made.hasPointerCapture(event.pointerId)) return;
    const box = state.host.getBoundingClientRect();
    const place = siftloomCharts.chartOf(state.host).convertFromPixel({ xAxisIndex: 0 }, event.clientX - box.left);
    move(field.cuts?.length ? between(field.cuts, shares(field.cuts), place) : place, false);
  });
  // Put it at its value; one that lies beyond the axis stands at its end, and says where it is.
  made.put = (chart) => {
    const axis = state.range(), { low, high } = range(), value = state.values.get(field.name);
    const area = chart.getModel().getComponent("grid").coordinateSystem.getRect(), place = placeOf(field, value);
    const x = chart.convertToPixel({ xAxisIndex: 0 }, Math.min(axis.high, Math.max(axis.low, place)));
    made.style.left = x + "px";
    made.style.top = area.y + "px";
    made.style.height = area.height + "px";
    made.classList.toggle("beyond", place < axis.low || place > axis.high);
    made.classList.toggle("flipped", x > area.x + area.width / 2);
    made.firstChild.textContent = `${field.name} ${shown(field, value)}`;
    for (const [key, number] of [["valuemin", low], ["valuemax", high], ["valuenow", value]]) made.setAttribute("aria-" + key, String(number));
    made.setAttribute("aria-valuetext", `${field.name} ${shown(field, value)}`);
  };
  return made;
};

// Charts by Apache ECharts: a figure description (docs/figures.md) in, an option of ECharts out, drawn in both themes.
// The report and `siftloom ui` draw with this one file: `siftloomCharts.draw(host, figure, colours)`.
const siftloomCharts = (() => {
  "use strict";
  const SERIES = 8, LINE = 16, FONT = 12;
  const drawn = new Map(); // host -> {chart, figure, colours, hooks}

  // numbers as people read them
  const signed = (text) => text.replace("-", "\u2212");
  const four = (value) => Math.abs(value) >= 1e15 || (value !== 0 && Math.abs(value) < 1e-4)
    ? signed(value.toExponential(2))
    : signed(value.toLocaleString("en", Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 }));
  const scaled = (value, units) => {
    const [unit, letters] = units.find(([unit]) => Math.abs(value) >= unit * 0.9995) ?? [1, ""];
    return signed((value / unit).toLocaleString("en", { maximumSignificantDigits: 3 })) + letters;
  };
  const short = (value) => Math.abs(value) < 1e4 ? four(value) : scaled(value, [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]);
  const bytes = (value) => {
    const shown = scaled(value, [[1e12, "\u00a0TB"], [1e9, "\u00a0GB"], [1e6, "\u00a0MB"], [1e3, "\u00a0kB"]]);
    return /B$/.test(shown) ? shown : shown + "\u00a0B";
  };
  const percent = (share) => {
    if (share > 0 && share < 0.0005) return "<\u00a00.1\u00a0%";
    if (share >= 0.9995 && share < 1) return ">\u00a099.9\u00a0%";
    return signed((100 * share).toFixed(share === 0 || share === 1 ? 0 : 1)) + "\u00a0%";
  };
  const withUnit = (value, unit) => unit === "bytes" ? bytes(value) : unit === "percent" ? percent(value)
    : four(value) + (unit ? "\u00a0" + unit : "");

  // colours and fonts are those of the style sheet, resolved for the theme that is shown
  const theme = () => {
    const probe = document.body.appendChild(document.createElement("i"));
    const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
    const found = { series: Array.from({ length: SERIES }, (_, i) => colour("s" + i)), font: getComputedStyle(document.body).fontFamily };
    for (const name of ["paper", "ink", "soft", "line", "grid", "accent", "gone", "edge", "resume", "reuse"]) found[name] = colour(name);
    probe.remove();
    return found;
  };
  const ruler = document.createElement("canvas").getContext("2d");
  const widthOf = (text) => { ruler.font = `${FONT}px sans-serif`; return ruler.measureText(text).width * 1.06; };
  const cut = (text, width) => {
    if (widthOf(text) <= width) return text;
    let end = text.length;
    while (end > 2 && widthOf(text.slice(0, end)) > width - 12) end -= 1;
    return text.slice(0, end) + "\u2026";
  };

  // A name in several charts has one colour in all of them; the names of smoothed curves (trained models) come first.
  const palette = (figures) => {
    const charts = figures.filter((figure) => figure.kind === "lines").sort((a, b) => Boolean(b.smooth) - Boolean(a.smooth));
    const times = new Map();
    for (const figure of charts) {
      for (const name of new Set(figure.series.map((one) => one.name))) times.set(name, (times.get(name) ?? 0) + 1);
    }
    const shared = [...times.keys()].filter((name) => times.get(name) > 1);
    return (names) => {
      const numbers = new Map(names.filter((name) => shared.includes(name)).map((name) => [name, shared.indexOf(name)]));
      for (const name of names) {
        let free = 0;
        while (!numbers.has(name) && [...numbers.values()].includes(free)) free += 1;
        if (!numbers.has(name)) numbers.set(name, free);
      }
      return numbers;
    };
  };

  // what stands under the pointer: elements, never markup, so that no name can be one
  const told = (head, rows) => {
    const box = document.createElement("div");
    const line = (text, colour) => {
      const row = box.appendChild(document.createElement("div"));
      if (colour) {
        const dot = row.appendChild(document.createElement("i"));
        dot.style.cssText = `display:inline-block;width:.6em;height:.6em;border-radius:50%;margin-right:.4em;background:${colour}`;
      }
      row.append(text);
    };
    line(head);
    for (const [text, colour] of rows) line(text, colour);
    return box;
  };

  const axis = (colours, scale, extra) => ({
    type: scale ? "log" : "value", splitNumber: 5, axisLine: { lineStyle: { color: colours.line } },
    axisTick: { lineStyle: { color: colours.line } }, splitLine: { lineStyle: { color: colours.grid } }, minorTick: { show: false },
    axisLabel: { color: colours.soft, fontSize: FONT - 1, hideOverlap: true, formatter: short },
    nameTextStyle: { color: colours.soft, fontSize: FONT - 1 }, ...extra,
  });
  const base = (colours) => ({
    animation: false, textStyle: { fontFamily: colours.font, fontSize: FONT },
    tooltip: {
      confine: true, backgroundColor: colours.ink, borderWidth: 0, padding: [5, 9], transitionDuration: 0,
      textStyle: { color: colours.paper, fontSize: FONT, fontWeight: "normal" }, extraCssText: "box-shadow:none;font-variant-numeric:tabular-nums;max-width:90%;white-space:normal",
    },
  });
  // ctrl and the wheel zoom, a drag moves: the wheel alone belongs to the page
  const zoom = (colours, bottom) => [
    { type: "inside", xAxisIndex: 0, filterMode: "none", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, preventDefaultMouseMove: false },
    ...(bottom ? [{ type: "slider", xAxisIndex: 0, filterMode: "none", height: 14, bottom: 2, showDetail: false, brushSelect: false,
      borderColor: colours.grid, fillerColor: colours.grid, handleStyle: { color: colours.paper, borderColor: colours.soft },
      moveHandleSize: 4, dataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } },
      selectedDataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } } }] : []),
  ];
  const legend = (names, colours, width) => {
    if (names.length < 2) return { rows: 0, option: undefined };
    const widths = names.map((name) => Math.min(widthOf(name), width - 50) + 24 + 14);
    let rows = 1, at = 0;
    for (const one of widths) { if (at && at + one > width) { rows += 1; at = 0; } at += one; }
    const scroll = rows > 4;
    return {
      rows: scroll ? 1 : rows,
      option: {
        type: scroll ? "scroll" : "plain", data: names, left: 0, top: 0, padding: 0, itemGap: 14, itemWidth: 18, itemHeight: 8,
        textStyle: { color: colours.ink, fontSize: FONT, lineHeight: LINE }, formatter: (name) => cut(name, width - 50), inactiveColor: colours.line,
        pageTextStyle: { color: colours.soft }, pageIconColor: colours.ink, pageIconInactiveColor: colours.line,
      },
    };
  };
  // labels of marks stand above each other; the axis' name takes the left of the lowest line
  const marks = (list, colours, width, low, high, log, name) => {
    let line = 0;
    const data = (list ?? []).slice(0, 4).map((mark) => {
      const label = /\d/.test(mark.label) ? mark.label : `${mark.label} ${four(mark.x)}`;
      const place = log ? Math.log(mark.x / low) / Math.log(high / low) : (mark.x - low) / (high - low);
      const shown = cut(label, width * 0.48), left = 40 + place * (width - 60) - (place > 0.5 ? widthOf(shown) : 0);
      const above = Math.max(line, left < widthOf(name) + 40 ? 1 : 0);
      line = above + 1;
      return {
        xAxis: mark.x, name: mark.label, lineStyle: { color: colours.ink, type: [4, 3], width: 1 },
        label: { show: true, formatter: shown, position: "end", distance: [0, 5 + LINE * above], color: colours.ink,
          fontSize: FONT - 1, align: place > 0.5 ? "right" : "left" },
      };
    });
    return { data, lines: line };
  };
  const markLine = ({ data }) => data.length ? { markLine: { symbol: "none", silent: true, animation: false, data } } : {};
  const frame = (rows, markLines, bottom) => ({
    left: 4, right: 16, bottom: bottom ? 22 : 4, top: rows * (LINE + 6) + 20 + LINE * Math.max(markLines - 1, 0),
    outerBoundsMode: "same", outerBoundsContain: "all",
  });

  const histogram = (figure, colours, width) => {
    const { edges, counts } = figure, span = edges.at(-1) - edges[0];
    // a mark far beyond the bars would press them together
    const list = (figure.marks ?? []).filter((mark) => figure.log_x || (mark.x >= edges[0] - span / 2 && mark.x <= edges.at(-1) + span / 2));
    const beyond = (x) => list.some((mark) => (mark.removed === "below" && x < mark.x) || (mark.removed === "above" && x > mark.x));
    const removed = figure.removed ?? counts.map((count, i) => beyond((edges[i] + edges[i + 1]) / 2) ? count : 0);
    const some = removed.some(Boolean), total = counts.reduce((sum, count) => sum + count, 0);
    const xs = list.map((mark) => mark.x).filter((x) => !figure.log_x || x > 0);
    const low = Math.min(edges[0], ...xs), high = Math.max(edges.at(-1), ...xs);
    const data = counts.map((count, i) => [(edges[i] + edges[i + 1]) / 2, edges[i], edges[i + 1], count, removed[i]]);
    const least = Math.min(1, ...counts.filter(Boolean)) * 0.8;
    const bars = (name, colour, from, to) => ({
      type: "custom", name, data, encode: { x: 0, y: 3 }, itemStyle: { color: colour }, clip: true,
      renderItem: (params, api) => {
        const bottom = api.value(from), top = api.value(to);
        if (!(top > bottom)) return undefined;
        const floor = params.coordSys.y + params.coordSys.height;
        const [x1, y] = api.coord([api.value(1), top]), [x2] = api.coord([api.value(2), top]);
        const lower = bottom > 0 ? api.coord([api.value(1), bottom])[1] : floor;
        const gap = Math.min(1, (x2 - x1) / 6);
        return { type: "rect", shape: { x: x1 + gap / 2, y: Math.min(y, lower - 1), width: Math.max(x2 - x1 - gap, 0.8), height: Math.max(lower - y, 1) },
          style: { fill: colour }, emphasis: { style: { opacity: 0.75 } } };
      },
    });
    for (const row of data) row.push(0, row[3] - row[4]); // dimension 5: nothing, 6: kept
    const key = legend(some ? ["kept", "removed"] : [], colours, width);
    const series = [bars("kept", colours.accent, 5, 6), bars("removed", colours.gone, 6, 3)];
    const marked = marks(list, colours, width, low, high, figure.log_x, "count");
    Object.assign(series[0], markLine(marked));
    return {
      ...base(colours), grid: frame(key.rows, marked.lines), legend: key.option && { ...key.option, icon: "rect" },
      xAxis: axis(colours, figure.log_x, { min: low, max: high, name: figure.x, nameLocation: "middle", nameGap: 24, splitLine: { show: false } }),
      yAxis: axis(colours, figure.log_y, {
        name: "count", nameLocation: "end", nameGap: 8, nameTextStyle: { color: colours.soft, fontSize: FONT - 1, align: "left", padding: [0, 0, 0, -20] },
        axisLabel: { ...axis(colours).axisLabel, showMinLabel: !figure.log_y }, min: figure.log_y ? least : 0, max: Math.max(...counts) > 0 ? undefined : 1, minInterval: counts.every(Number.isInteger) && !figure.log_y ? 1 : undefined,
      }),
      dataZoom: figure.still ? [] : zoom(colours), series,
      tooltip: { ...base(colours).tooltip, trigger: "axis", axisPointer: { type: "line", lineStyle: { color: colours.soft } },
        formatter: (found) => {
          const [, from, to, count, gone] = (Array.isArray(found) ? found[0] : found).data;
          return told(`${four(from)} to ${four(to)}`, [
            [`${four(count)} (${percent(total ? count / total : 0)})`],
            ...(some ? [[`kept ${four(count - gone)}`, colours.accent], [`removed ${four(gone)}`, colours.gone]] : []),
          ]);
        } },
    };
  };

  const lines = (figure, colours, width, numbers) => {
    const shown = figure.series.filter((one) => one.points.length), named = shown.filter((one) => !one.faint);
    const index = numbers([...new Set(figure.series.map((one) => one.name))]);
    const xs = shown.flatMap((one) => one.points.map((point) => point[0])).concat((figure.marks ?? []).map((mark) => mark.x));
    const low = Math.min(...xs), high = Math.max(...xs), names = [...new Set(named.map((one) => one.name))];
    const long = figure.smooth && width > 420, key = legend(names, colours, width);
    const looks = (name) => {
      const one = named.find((each) => each.name === name), colour = colours.series[index.get(name) % SERIES];
      return { name, icon: one.dots ? "circle" : "roundRect", itemStyle: one.dots ? { color: colours.paper, borderColor: colour, borderWidth: 1.8, opacity: 1 } : { color: colour, opacity: 1 } };
    };
    const series = shown.map((one) => {
      const number = index.get(one.name), colour = colours.series[number % SERIES];
      return {
        type: one.dots ? "scatter" : "line", name: one.name, data: one.points, clip: true, color: colour, symbolSize: 7, showSymbol: false,
        itemStyle: one.dots ? { color: colours.paper, borderColor: colour, borderWidth: 1.8 } : { color: colour },
        lineStyle: { width: one.faint ? 1 : 2, opacity: one.faint ? 0.35 : 1, type: number >= SERIES ? "dashed" : "solid" },
        emphasis: { disabled: true }, silent: Boolean(one.faint), z: one.faint ? 1 : 3,
      };
    });
    const marked = marks(figure.marks, colours, width, low, high, figure.log_x, figure.y);
    if (series.length) Object.assign(series.at(-1), markLine(marked));
    const [bottom, top] = figure.y_range ?? [undefined, undefined]; // null too means all
    return {
      ...base(colours), grid: frame(key.rows, marked.lines, long), legend: key.option && { ...key.option, data: names.map(looks) },
      xAxis: axis(colours, figure.log_x, { min: low, max: high > low ? high : undefined, name: figure.x, nameLocation: "middle", nameGap: 24, splitLine: { show: false } }),
      yAxis: axis(colours, figure.log_y, { scale: true, min: bottom, max: top, axisLabel: { ...axis(colours).axisLabel, showMinLabel: bottom === undefined, showMaxLabel: top === undefined }, name: cut(figure.y, width - 20), nameLocation: "end", nameGap: 8,
        nameTextStyle: { color: colours.soft, fontSize: FONT - 1, align: "left", padding: [0, 0, 0, -20] } }),
      dataZoom: zoom(colours, long), series,
      tooltip: { ...base(colours).tooltip, trigger: "axis", axisPointer: { type: "line", lineStyle: { color: colours.soft } },
        formatter: (found) => told(four(found[0].axisValue), found.filter((one) => !shown[one.seriesIndex].faint)
          .map((one) => [`${one.seriesName}  ${four(one.data[1])}`, one.color])) },
    };
  };

  const bars = (figure, colours, width) => {
    const { labels, values, unit } = figure, room = width * 0.36, most = 14;
    return {
      ...base(colours),
      grid: { left: 2, right: 12 + Math.max(0, ...values.map((value) => widthOf(withUnit(value, unit)))), top: 4, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: axis(colours, false, { show: false, min: Math.min(0, ...values), max: Math.max(0, ...values) || 1 }),
      yAxis: { type: "category", data: labels.map((_, i) => i), inverse: true, axisTick: { show: false }, axisLine: { onZero: true, lineStyle: { color: colours.line } },
        offset: 0, axisLabel: { color: colours.ink, fontSize: FONT, interval: 0, formatter: (i) => cut(String(labels[i]), room) } },
      dataZoom: labels.length > most ? [{ type: "slider", yAxisIndex: 0, startValue: 0, endValue: most - 1, width: 12, right: 0, showDetail: false, brushSelect: false, zoomLock: true,
        borderColor: colours.grid, fillerColor: colours.grid, handleSize: 0 }] : [],
      series: [{ type: "bar", data: values.map((value) => ({ value, label: { position: value < 0 ? "left" : "right" } })), barWidth: "70%", itemStyle: { color: colours.accent, borderRadius: 2 },
        label: { show: true, color: colours.ink, fontSize: FONT, formatter: (one) => withUnit(values[one.dataIndex], unit) } }],
      tooltip: { ...base(colours).tooltip, trigger: "item", formatter: (one) => told(String(labels[one.dataIndex]), [[withUnit(values[one.dataIndex], unit)]]) },
    };
  };

  // The graph of a run beside the rows of a table: one lane an output. `rows` are the heights of the rows' middles in
  // pixels, as the page laid them out, so that a dot cannot drift from its label.
  const graph = (figure, colours) => {
    const { lanes, edges, actions, names, rows, height, width, lane, side } = figure;
    const at = (row) => [side + lane * lanes[row], rows[row]];
    const colour = { run: colours.accent, resume: colours.resume, reuse: colours.reuse, failed: colours.gone };
    const path = ([up, row, position]) => {
      const [x1, y1] = at(up), [x2, y2] = at(row), straight = x1 === x2, bend = straight ? y2 : rows[row - 1], pull = (y2 - bend) * 0.55;
      const one = { silent: true, z2: position ? 1 : 2, style: { fill: "none", stroke: colours.edge, lineWidth: position ? 1.2 : 2.4 } };
      const curve = { type: "bezierCurve", ...one, shape: { x1, y1: bend, cpx1: x1, cpy1: bend + pull, cpx2: x2, cpy2: y2 - pull, x2, y2 } };
      return { type: "group", children: [{ type: "line", ...one, shape: { x1, y1, x2: x1, y2: bend } }, ...(straight ? [] : [curve])] };
    };
    const node = (row) => {
      const [x, y] = at(row), one = colour[actions[row]] ?? colours.soft;
      const parts = [{ type: "circle", z2: 5, shape: { cx: x, cy: y, r: 6.5 }, style: { fill: actions[row] === "run" ? one : colours.paper, stroke: one, lineWidth: 2.4 } }];
      if (actions[row] === "resume") parts.push({ type: "sector", z2: 6, shape: { cx: x, cy: y, r: 6.5, r0: 0, startAngle: Math.PI / 2, endAngle: Math.PI * 1.5 }, style: { fill: one } });
      return { type: "group", children: parts };
    };
    const draw = (list, make) => ({ type: "custom", coordinateSystem: "none", data: list.map((_, i) => [i]), renderItem: (_, api) => make(list[api.value(0)], api.value(0)) });
    return {
      animation: false, textStyle: { fontFamily: colours.font },
      tooltip: { ...base(colours).tooltip, confine: false, trigger: "item", formatter: (one) => told(names[one.dataIndex], [[actions[one.dataIndex]]]) },
      series: [{ ...draw([...edges].sort((a, b) => b[2] - a[2]), path), silent: true }, draw(lanes, (_, row) => node(row))],
      width, height,
    };
  };

  const makers = { histogram, lines, bars, graph };
  const paint = (host) => {
    const one = drawn.get(host), { width, height } = host.getBoundingClientRect();
    if (!width || !height) return;
    if (!one.chart) one.chart = echarts.init(host, null, { renderer: "svg", width, height });
    else one.chart.resize({ width, height });
    const figure = typeof one.figure === "function" ? one.figure(host) : one.figure;
    one.chart.setOption(makers[figure.kind](figure, theme(), width, one.colours), { notMerge: true });
    host.querySelector("svg")?.setAttribute("aria-hidden", "true"); // the host has the name
    one.after?.(one.chart, host);
  };
  const watcher = new ResizeObserver((seen) => { for (const { target } of seen) if (drawn.has(target)) paint(target); });

  // Draw a figure into an element of any size above 0, again whenever that changes. `after(chart, host)` may add to it.
  const draw = (host, figure, colours = palette([]), after = undefined) => {
    const before = drawn.get(host);
    drawn.set(host, { ...before, figure, colours, after });
    if (before) paint(host); else watcher.observe(host);
    return host;
  };
  const forget = (host) => { watcher.unobserve(host); drawn.get(host)?.chart?.dispose(); drawn.delete(host); };
  const redraw = (only = undefined) => { for (const host of only ? [only] : drawn.keys()) paint(host); };
  const heightOf = (figure) => figure.kind === "bars" ? Math.min(Math.max(figure.values.length, 1), 14) * 27 + 8 : 300;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
  return { draw, forget, redraw, palette, heightOf, four, short, bytes, percent, withUnit, theme, chartOf: (host) => drawn.get(host)?.chart };
})();

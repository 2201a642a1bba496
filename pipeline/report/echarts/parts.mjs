// The parts of Apache ECharts that siftloom draws with; `README.md` says how `echarts.js` is made of them.
import { init, use } from "echarts/core";
import { BarChart, CustomChart, LineChart, ScatterChart } from "echarts/charts";
import {
  DataZoomInsideComponent, DataZoomSliderComponent, GridComponent, LegendPlainComponent, LegendScrollComponent,
  MarkAreaComponent, MarkLineComponent, TooltipComponent,
} from "echarts/components";
import { SVGRenderer } from "echarts/renderers";

use([
  BarChart, CustomChart, LineChart, ScatterChart, DataZoomInsideComponent, DataZoomSliderComponent, GridComponent,
  LegendPlainComponent, LegendScrollComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent, SVGRenderer,
]);
export { init };

import { LineChart, ScatterChart, BarChart } from 'echarts/charts'
import { GridComponent, LegendComponent, MarkAreaComponent, MarkLineComponent, TitleComponent } from 'echarts/components'
import { init, use } from 'echarts/core'
import type { EChartsCoreOption } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'

use([LineChart, ScatterChart, BarChart, GridComponent, LegendComponent, MarkAreaComponent, MarkLineComponent, TitleComponent, SVGRenderer])

/** Colours that stay apart in print and for colour-blind eyes (Okabe and Ito, 2008). */
export const palette = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000'] as const
export const FONT = 'Helvetica, Arial, sans-serif'
export const INK = '#1a1a1a'
export const GRID = '#d9d9d9'
/** Legend symbol of a line: a flat bar. */
export const LINE_ICON = 'path://M0,4 L22,4 L22,7 L0,7 Z'

/** Axis in the manner of a paper: full frame, light grid lines, name in the middle. */
export const axis = (name: string, type: 'value' | 'log' | 'category', more: Record<string, unknown> = {}): Record<string, unknown> => ({
  type, name, nameLocation: 'middle', nameGap: 36, nameTextStyle: { fontFamily: FONT, fontSize: 15, color: INK },
  axisLine: { show: true, onZero: false, lineStyle: { color: INK } }, axisTick: { show: true },
  axisLabel: { fontFamily: FONT, fontSize: 13, color: INK }, splitLine: { show: type !== 'category', lineStyle: { color: GRID } }, ...more,
})

/** Renders a chart to a complete SVG document, without a DOM. Width and height in CSS pixels. */
export const renderSvg = (option: EChartsCoreOption, width = 960, height = 600): string => {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height })
  try {
    chart.setOption({ animation: false, backgroundColor: '#ffffff', textStyle: { fontFamily: FONT }, ...option })
    return chart.renderToSVGString()
  } finally {
    chart.dispose()
  }
}
